"""Devices and numeric precisions by name."""

from typing import Literal

import torch

from qaclims_path.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def device_of(name: str) -> torch.device:
    """Return the device of a name; `auto` is the accelerator if there is one, else the CPU.

    Examples:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch asserts that it was built with CUDA
        raise UsageError(
            f"The device '{name}' cannot be used here. Pass cpu or auto, or see `qaclims doctor`."
        ) from error
    return device


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of a precision for inference on a device; fp16 on a CPU is refused.

    Examples:
        >>> dtype_of("bf16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is slow on a CPU. Choose bf16 or fp32, or a GPU.")
    return DTYPES[precision]


def precision_of(name: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """Return a precision; `auto` is the one that is fastest on the device.

    Examples:
        >>> precision_of("bf16", torch.device("cpu"))
        'bf16'
    """
    return fastest_precision(device) if name == "auto" else name


def fastest_precision(device: torch.device) -> Precision:
    """Return the precision that is fastest by the hardware's features: bf16 where it has bf16 arithmetic.

    Nothing is measured. Without bf16 it is fp16 on a GPU and fp32 elsewhere.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # missing in the oldest supported torch
    known: dict[str, object] = capabilities() if device.type == "cpu" else {}
    return "bf16" if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "fp32"
