"""Run a frozen image tower with fewer casts and less memory; works for the towers of every family."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

Image = Callable[[Tensor], Tensor]
Recompute = Literal["auto", "on", "off"]
SHARE = 0.6  # of the free memory, that activations may take before blocks are recomputed


def cast_once(module: nn.Module, image: Image, pixels: Tensor, dtype: torch.dtype) -> int:
    """Cast the parameters that autocast would cast at every call, because it remembers only those that are trained.

    A parameter is cast if one call, made here, does nothing with it but cast it; so features do not change.

    Args:
        module: Holds the parameters.
        image: Image tower, called under autocast.
        pixels: 1 3 S S.
        dtype: Precision of the autocast.

    Returns:
        Number of parameters that were cast.
    """
    with torch.no_grad(), _Uses(module, dtype) as uses:
        image(pixels)
    names = uses.cast - uses.other
    for parameter in module.parameters():
        if id(parameter) in names:
            parameter.data = parameter.data.to(dtype)
    return len(names)


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches which parameters are cast to a precision, and which are used in another way."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cast: set[int] = set()
        self.other: set[int] = set()
        self._parameters = {id(parameter) for parameter in module.parameters()}
        self._dtype = dtype

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        is_cast = func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == self._dtype
        for value in torch.utils._pytree.tree_leaves((args, kwargs)):
            if id(value) in self._parameters:
                (self.cast if is_cast else self.other).add(id(value))
        return func(*args, **kwargs)


def kept_bytes(module: nn.Module, image: Image, pixels: Tensor) -> int:
    """Return the bytes that one call keeps for its backward pass, besides the parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        features = image(pixels.detach().requires_grad_())
    total = sum(size for place, size in kept.items() if place not in own)
    del features  # until here its graph kept the storages apart
    return total


def is_too_much(kept: int, views: int, free: int) -> bool:
    """Return whether activations need too much of a GPU's memory: more than 0.6 of what is free.

    Args:
        kept: Bytes per view, from `kept_bytes`; about 28 bytes per token, channel and block of a ViT in half precision.
        views: Views of a chunk, two for each pair.
        free: Bytes free on the GPU; the rest is for the network that is trained.

    Examples:
        >>> vit_large = 28 * 257 * 1024 * 24
        >>> is_too_much(vit_large, 128, 24 * 2**30), is_too_much(vit_large, 128, 80 * 2**30)
        (True, False)
    """
    return kept * views > SHARE * free


def recompute_blocks(module: nn.Module) -> int:
    """Keep only the input of each block for the backward pass, which computes the block again; returns their number.

    It costs one more forward pass of the tower, and saves nearly all memory of its activations.
    """
    blocks = list(repeated_blocks(module))
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    return len(blocks)


def repeated_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the innermost blocks that a network repeats: members of lists of one class, such as a transformer's."""
    for child in module.children():
        inner = list(repeated_blocks(child))
        is_list = isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1
        one_class = is_list and len({type(block) for block in child.children()}) == 1
        yield from inner or (child.children() if one_class else ())


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call a block; no random numbers are kept, because a frozen tower draws none."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
