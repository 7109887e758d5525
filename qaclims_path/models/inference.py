"""A network made ready to run fast: batch norms folded into their convolutions, channels last, fewer bits."""

from copy import deepcopy
from typing import Literal, TypeVar

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from qaclims_path.errors import UsageError
from qaclims_path.models.camnet import CamNet

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
M = TypeVar("M", bound=nn.Module)


def ready(net: CamNet, device: torch.device, precision: Precision = "fp32") -> CamNet:
    """A copy of a network for inference; the backbone computes in the precision, normalisation and head in fp32.

    Example:
        >>> fast = ready(net, torch.device("cpu"), "bf16")  # doctest: +SKIP
        >>> with torch.inference_mode():  # doctest: +SKIP
        ...     maps = fast(images.to(memory_format=torch.channels_last)).maps
    """
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is slow on a CPU. Choose bf16 or fp32, or a GPU.")
    fast = deepcopy(net).eval().requires_grad_(requires_grad=False)
    fold_batch_norms(fast.backbone.model)
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


def fold_batch_norms(model: nn.Module) -> int:
    """Put batch norms in evaluation into the convolution before them; changes the model, returns how many.

    A model whose forward pass cannot be followed symbolically stays as it is.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception:  # tracing a foreign forward pass can fail in any way, and folding is only for speed
        return 0
    modules = dict(model.named_modules())
    users: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            users[node.target] = users.get(node.target, 0) + 1
    folded = 0
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        names = (str(before.target), str(node.target))
        conv, norm = modules[names[0]], modules[names[1]]
        if (
            isinstance(conv, nn.Conv2d)
            and isinstance(norm, _BatchNorm)
            and norm.track_running_stats
            and users[names[0]] == users[names[1]] == 1
        ):
            _fold(conv, norm)
            model.set_submodule(names[1], _after(norm))
            folded += 1
    return folded


class _Tracer(fx.Tracer):
    """Follows a forward pass down to modules without parts; timm's norms with an activation count as one of these."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = isinstance(m, _BatchNorm) or not any(m.children())
        return leaf or super().is_leaf_module(m, module_qualified_name)


def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a norm without running statistics cannot be folded")
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _after(norm: _BatchNorm) -> nn.Module:
    """What a norm of timm does beside normalising: an activation, and dropout that is off in evaluation."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
