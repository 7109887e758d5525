"""A network made ready to run fast: fused, channels last, fewer bits."""

from copy import deepcopy
from typing import Literal

import torch

from qaclims_path.errors import UsageError
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.fusing import fused

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def ready(net: CamNet, device: torch.device, precision: Precision = "fp32") -> CamNet:
    """A copy of a network for inference; the backbone computes in the precision, normalisation and head in fp32.

    Example:
        >>> fast = ready(net, torch.device("cpu"), "bf16")  # doctest: +SKIP
        >>> with torch.inference_mode():  # doctest: +SKIP
        ...     maps = fast(images.to(memory_format=torch.channels_last)).maps
    """
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is slow on a CPU. Choose bf16 or fp32, or a GPU.")
    fast = deepcopy(net).cpu().eval().requires_grad_(requires_grad=False)
    fast.backbone.model = fused(fast.backbone.model, join=device.type == "cpu")
    fast.backbone.model.to(DTYPES[precision])
    fast.to(device)
    fast.to(memory_format=torch.channels_last)
    return fast


def fastest_precision(device: torch.device) -> Precision:
    """The precision that computes fastest without being measured: bf16 where the hardware multiplies it, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    ask = getattr(torch.cpu, "get_capabilities", dict)  # not in the oldest torch that we run with
    known: dict[str, object] = ask() if device.type == "cpu" else {}
    return "bf16" if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "fp32"
