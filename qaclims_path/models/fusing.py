"""Fusion of layers for faster inference: batch norms, ReLUs and shortcuts become part of convolutions.

In evaluation mode a batch norm is a scale and a shift, which can be multiplied into the convolution before it. On a
CPU, oneDNN also adds a shortcut and applies a ReLU while a convolution writes its result. The function stays the same.
"""

import operator
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from qaclims_path.models.backbones import with_stages

IDLE = (nn.Identity, nn.Dropout)  # do nothing in evaluation mode
SUMS = (operator.add, operator.iadd, torch.add)
RELUS = (F.relu, torch.relu, torch.relu_)
SIZE = (1, 3, 64, 96)  # shape of the image on which both models are compared
TOLERANCE = 1e-3  # relative error of the output


class FusedConv(nn.Module):
    """A convolution, an optional sum with a shortcut, and a ReLU, in one pass over memory."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Compute B E h' w' from B D h w; the shortcut has the shape of the result."""
        conv, pointwise = self.conv, torch.ops.mkldnn._convolution_pointwise
        arguments = (conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups)
        if shortcut is None:
            return cast("Tensor", pointwise(x, *arguments, "relu", [], ""))
        return cast("Tensor", pointwise.binary(x, shortcut, *arguments, "add", 1.0, "relu", [], ""))


def can_fuse_pointwise(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether oneDNN can add shortcuts and ReLUs to convolutions: on CPUs, in bf16 with AVX-512 only."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class FusedModel(nn.Module):
    """A fused graph with the methods of a timm model.

    Args:
        inner: Computes the last features; where it was fused for stages, a tuple of these and of those of the stages.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the same as `forward_features` of the original model."""
        return cast("Tensor", self.inner(x))

    def forward_intermediates(self, x: Tensor, **_: Any) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401 - fixed before
        """Compute the same as `forward_intermediates` of the original model for these stages."""
        last, *found = self.inner(x)
        return last, found


@torch.no_grad()
def fuse(model: nn.Module, *, pointwise: bool, stages: Sequence[int] = ()) -> nn.Module:
    """Fuse the layers of a model's forward pass; the model itself does not change.

    A model whose forward pass cannot be traced, or whose fused output differs, is returned unchanged.

    Args:
        model: On the CPU, in evaluation mode, in fp32.
        pointwise: Also fuse ReLUs and sums into convolutions, see `can_fuse_pointwise`.
        stages: Stages whose features are computed besides the last features, see `backbones.with_stages`.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return model
    try:
        whole: Any = _Levels(model, stages) if stages else model
        traced = fx.GraphModule(whole, _Tracer().trace(whole)).eval()
        _remove_idle(traced)
        _fold_norms(traced)
        if pointwise:
            _fuse_relus(traced)
        traced.delete_all_unused_submodules()
        traced.recompile()
        image = torch.rand(SIZE, generator=torch.Generator().manual_seed(0))
        pairs = [*zip(_each(whole.forward_features(image)), _each(traced(image)), strict=True)]
    except Exception:  # tracing a foreign forward pass can fail in any way, and fusion is only for speed
        return model
    same = all((before - after).norm() <= TOLERANCE * before.norm() for before, after in pairs)
    return FusedModel(traced) if same else model


class _Levels(nn.Module):
    """The last features of a model and those of some stages as one tuple, which can be traced."""

    def __init__(self, model: nn.Module, stages: Sequence[int]) -> None:
        super().__init__()
        self.model, self.stages = model, tuple(stages)

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        last, found = with_stages(self.model, x, self.stages)
        return last, *found


def _each(features: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return features if isinstance(features, tuple) else (features,)


class _Tracer(fx.Tracer):
    """Traces a forward pass down to modules without submodules, and to timm's norms with an activation."""

    traced_func_name = "forward_features"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = isinstance(m, _BatchNorm) or not any(m.children())
        return leaf or super().is_leaf_module(m, module_qualified_name)


def _remove_idle(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        if isinstance(_module(traced, node), IDLE):
            _replace(traced, node, node.all_input_nodes[0])


def _fold_norms(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        norm = _module(traced, node)
        if not isinstance(norm, _BatchNorm) or not norm.track_running_stats:
            continue
        before = node.all_input_nodes[0]
        conv = _only_conv(traced, before)
        if conv is None:
            continue
        traced.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
        activation = getattr(norm, "act", None)  # timm's norms include an activation
        if isinstance(activation, nn.Module) and not isinstance(activation, IDLE):
            traced.set_submodule(str(node.target), activation)
        else:
            _replace(traced, node, before)


def _fuse_relus(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        if not (isinstance(_module(traced, node), nn.ReLU) or _calls(node, RELUS)):
            continue
        source = node.all_input_nodes[0]
        if len(source.users) > 1:
            continue
        parts = source.all_input_nodes if _calls(source, SUMS) else [source]
        conv = next((part for part in parts if type(_only_conv(traced, part)) is nn.Conv2d), None)
        if conv is None:
            continue
        traced.set_submodule(str(conv.target), FusedConv(cast("nn.Conv2d", _module(traced, conv))))
        shortcuts = [part for part in parts if part is not conv]
        with traced.graph.inserting_before(node):
            fused = traced.graph.call_module(str(conv.target), (conv.all_input_nodes[0], *shortcuts))
        _replace(traced, node, fused)
        if source is not conv:
            traced.graph.erase_node(source)
        traced.graph.erase_node(conv)


def _only_conv(traced: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """Return the convolution that a node calls, if no other node uses its result or its weights."""
    conv = _module(traced, node)
    calls = sum(each.op == "call_module" and each.target == node.target for each in traced.graph.nodes)
    return conv if isinstance(conv, nn.Conv2d) and len(node.users) == 1 and calls == 1 else None


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _calls(node: fx.Node, functions: tuple[object, ...]) -> bool:
    return node.op == "call_function" and node.target in functions


def _replace(traced: fx.GraphModule, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    traced.graph.erase_node(node)
