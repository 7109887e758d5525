"""A convolutional network with fewer passes over memory: norms folded into convolutions, activations and sums joined.

In evaluation a batch norm is a scale and a shift, which the convolution before it can take over. On a CPU, oneDNN also
adds a shortcut and applies a rectifier while a convolution writes its result. What remains is the same function.
"""

import operator
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

IDLE = (nn.Identity, nn.Dropout)  # do nothing in evaluation
SUMS = (operator.add, operator.iadd, torch.add)
RECTIFIERS = (F.relu, torch.relu, torch.relu_)
SIZE = (1, 3, 64, 96)  # of the image on which old and new are compared
TOLERANCE = 1e-3


class JoinedConv(nn.Module):
    """A convolution, the sum with a shortcut where there is one, and a rectifier, in one pass over memory."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """B D h w to B E h' w'; the shortcut has the shape of the result."""
        conv, joined = self.conv, torch.ops.mkldnn._convolution_pointwise
        how = (conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups)
        if shortcut is None:
            return cast("Tensor", joined(x, *how, "relu", [], ""))
        return cast("Tensor", joined.binary(x, shortcut, *how, "add", 1.0, "relu", [], ""))


class Fused(nn.Module):
    """What a fused model looks like from outside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward_features(self, x: Tensor) -> Tensor:
        """As the model's own."""
        return cast("Tensor", self.inner(x))


@torch.no_grad()
def fused(model: nn.Module, *, join: bool) -> nn.Module:
    """The same `forward_features` in fewer steps; the model itself stays as it is, and its device must be the CPU.

    A model whose forward pass cannot be followed, or that would compute something else, is returned unchanged.

    Args:
        model: In evaluation, in fp32.
        join: Whether rectifiers and sums join convolutions too, for models that will stay on a CPU.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return model
    try:
        slim = fx.GraphModule(model, _Tracer().trace(model)).eval()
        _drop_idle(slim)
        _fold_norms(slim)
        if join and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            _join_rectifiers(slim)
        slim.delete_all_unused_submodules()
        slim.recompile()
        probe = torch.rand(SIZE, generator=torch.Generator().manual_seed(0))
        old, new = model.forward_features(probe), slim(probe)  # type: ignore[operator]
    except Exception:  # a foreign forward pass can break this anywhere, and it is only for speed
        return model
    return Fused(slim) if (old - new).norm() <= TOLERANCE * old.norm() else model


class _Tracer(fx.Tracer):
    """Follows a forward pass down to modules without parts; timm's norms with an activation count as one of these."""

    traced_func_name = "forward_features"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = isinstance(m, _BatchNorm) or not any(m.children())
        return leaf or super().is_leaf_module(m, module_qualified_name)


def _drop_idle(slim: fx.GraphModule) -> None:
    for node in list(slim.graph.nodes):
        if isinstance(_module(slim, node), IDLE):
            _replace(slim, node, node.all_input_nodes[0])


def _fold_norms(slim: fx.GraphModule) -> None:
    for node in list(slim.graph.nodes):
        norm = _module(slim, node)
        if not isinstance(norm, _BatchNorm) or not norm.track_running_stats:
            continue
        before = node.all_input_nodes[0]
        conv = _only_conv(slim, before)
        if conv is None:
            continue
        slim.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
        activation = getattr(norm, "act", None)  # timm's norms bring their activation along
        if isinstance(activation, nn.Module) and not isinstance(activation, IDLE):
            slim.set_submodule(str(node.target), activation)
        else:
            _replace(slim, node, before)


def _join_rectifiers(slim: fx.GraphModule) -> None:
    for node in list(slim.graph.nodes):
        if not (isinstance(_module(slim, node), nn.ReLU) or _calls(node, RECTIFIERS)):
            continue
        source = node.all_input_nodes[0]
        if len(source.users) > 1:
            continue
        parts = source.all_input_nodes if _calls(source, SUMS) else [source]
        found = next((part for part in parts if type(_only_conv(slim, part)) is nn.Conv2d), None)
        if found is None:
            continue
        slim.set_submodule(str(found.target), JoinedConv(cast("nn.Conv2d", _module(slim, found))))
        others = [part for part in parts if part is not found]
        with slim.graph.inserting_before(node):
            joined = slim.graph.call_module(str(found.target), (found.all_input_nodes[0], *others))
        _replace(slim, node, joined)
        if source is not found:
            slim.graph.erase_node(source)
        slim.graph.erase_node(found)


def _only_conv(slim: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """The convolution that a node calls, where nobody else uses its result or its weights."""
    conv = _module(slim, node)
    calls = sum(each.op == "call_module" and each.target == node.target for each in slim.graph.nodes)
    return conv if isinstance(conv, nn.Conv2d) and len(node.users) == 1 and calls == 1 else None


def _module(slim: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return slim.get_submodule(str(node.target)) if node.op == "call_module" else None


def _calls(node: fx.Node, functions: tuple[object, ...]) -> bool:
    return node.op == "call_function" and node.target in functions


def _replace(slim: fx.GraphModule, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    slim.graph.erase_node(node)
