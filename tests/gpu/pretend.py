"""A pretended GPU: arithmetic stays on the CPU, but every tensor knows where it would be.

Inside `pretended_gpu()` the device `cuda` exists. A storage that would be in the GPU's memory carries a tag, and what a
real GPU would punish is noted by file and line, in the backward pass, too:

- mixes: an operation on tensors of both devices, an error on a real GPU;
- waits: the host waits for the GPU, as for `.item()`, `.nonzero()`, `tensor[mask]` or a copy to the CPU;
- copies: from pageable memory to the GPU, for which the host waits, too;
- sent: copies between pinned memory and the GPU, which wait for nothing.

A function mode sees calls with devices (`to`, factories, `.device`), a dispatch mode sees every operation. Modes are of
one thread: load data with `workers=0`. Inside a Python function of torch, only the dispatch mode sees what happens.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

import qaclims_path

PACKAGE, TORCH = str(Path(qaclims_path.__file__).parent), str(Path(torch.__file__).parent)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
EITHER = "either"  # made inside torch without a device that modes can see; it belongs to what it meets
aten = torch.ops.aten

COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
NUMBERS = {
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.fill_.Tensor,
    aten.lerp.Tensor,
}  # take one of the CPU
WAITING = {
    *(aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default),
    *(aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default, aten.bincount.default),
}


@dataclass
class Notes:
    """Count events since the last `clear`, by file and line; `notes.waits.total()` is their number."""

    mixes: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget everything."""
        for counts in vars(self).values():
            counts.clear()

    def __sub__(self, before: "Notes") -> "Notes":
        """Return what happened since a copy of the notes was made."""
        return Notes(*(now - then for now, then in zip(vars(self).values(), vars(before).values(), strict=True)))

    def __str__(self) -> str:
        """Report every event, one line each."""
        return "\n".join(f"{n} {kind}: {what}" for kind, counts in vars(self).items() for what, n in counts.items())


def device_of(tensor: Tensor) -> Any:
    """Return where a tensor would be: `CPU`, `GPU`, or `EITHER`."""
    return getattr(tensor.untyped_storage(), "pretended", CPU)


def put(tensor: Tensor, where: Any) -> Tensor:
    """Tag the storage of a tensor, which its views share."""
    tensor.untyped_storage().pretended = where
    return tensor


def pinned(tensor: Tensor) -> bool:
    """Whether a tensor would be in pinned memory, from which and to which copies need no waiting."""
    return getattr(tensor.untyped_storage(), "pinned", False)


def pin(tensor: Tensor) -> Tensor:
    """Copy a tensor into pinned memory."""
    copied = tensor.clone()
    copied.untyped_storage().pinned = True
    return copied


def line() -> str:
    """File and line of the package that is being run, else of the first file outside of torch."""
    frame, first, backward = sys._getframe(1), "", ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE):
            return f"{name[len(PACKAGE) + 1 :]}:{frame.f_lineno}{backward}"
        if name.startswith(f"{TORCH}/autograd"):
            backward = " in backward"
        elif not first and not name.startswith((TORCH, __file__, "<")):
            first = f"{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back
    return first + backward


@cache
def one_number_is_fine(operation: Any) -> bool:
    """Whether an operation takes tensors of one number (no dimensions) from the CPU."""
    return torch.Tag.pointwise in operation.tags or operation in NUMBERS or "_foreach_" in operation.name()


@cache
def is_composite(operation: Any) -> bool:
    """Whether an operation consists of others, which inference mode does not show by itself."""
    kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return kernel(operation.name(), "CompositeImplicitAutograd")


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in arguments or results of an operation."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Operations(TorchDispatchMode):
    """Sees every operation: notes what it would cost, and tags its results.

    Attributes:
        made_on: Where the call in progress puts its result; None for where its arguments are.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes, self.made_on = notes, None

    @contextmanager
    def making(self, where: Any) -> Iterator[None]:
        """Put results on a device."""
        before, self.made_on = self.made_on, where
        try:
            yield
        finally:
            self.made_on = before

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and is_composite(operation):
            with self:
                result = operation.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        tensors = tensors_in((args, kwargs))
        if operation is aten.copy_.default:
            self.copied(*args, **kwargs)
            return operation(*args, **kwargs)
        if operation.overloadpacket is aten.set_:  # shares a storage, which stays where it is
            return operation(*args, **kwargs)
        devices = {device_of(tensor) for tensor in tensors}
        if GPU in devices:
            self.note(operation, tensors, args, kwargs)
        if self.made_on is not None and (not tensors or operation in (aten._to_copy.default, aten.clone.default)):
            where = self.made_on
        elif GPU not in devices and EITHER in devices and not any(t.dim() for t in tensors if device_of(t) == CPU):
            where = EITHER  # the others are mere numbers
        else:
            where = GPU if GPU in devices else CPU if CPU in devices else EITHER
        result = operation(*args, **kwargs)
        for tensor in tensors_in(result):
            put(tensor, where)
        return result

    def note(self, operation: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> None:
        """Note mixes and waits of an operation with a tensor on the GPU."""
        strangers = [tensor for tensor in tensors if device_of(tensor) == CPU]
        if operation in INDEXED:
            strangers = self.indexed(operation, *args, **kwargs)
        mixing = any(tensor.dim() or not one_number_is_fine(operation) for tensor in strangers)
        if mixing and operation not in COPIES:
            self.notes.mixes[f"{line()} {operation}"] += 1
        counting = operation is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None
        if operation in WAITING or counting:
            self.notes.waits[f"{line()} {operation}"] += 1

    def indexed(
        self, operation: Any, values: Tensor, indices: Any, new: Tensor | None = None, accumulate: bool = False, *_: Any
    ) -> list[Tensor]:
        """Note what indices cost; returns values that are on the CPU although others are on the GPU."""
        given = [index for index in indices if index is not None]
        masks = any(index.dtype in (torch.bool, torch.uint8) for index in given)
        fills = new is not None and not accumulate and new.numel() == 1 and device_of(new) == CPU  # torch fills instead
        if masks and not fills:
            self.notes.waits[f"{line()} {operation} with a mask"] += 1
        if device_of(values) == GPU:  # torch brings indices from the CPU
            self.notes.copies.update(f"{line()} index" for index in given if device_of(index) == CPU)
        elif device_of(values) == CPU and any(device_of(index) == GPU for index in given):
            return [values]
        of_values = [values] if new is None or fills else [values, new]
        return [tensor for tensor in of_values if device_of(tensor) == CPU]

    def copied(self, to: Tensor, source: Tensor, non_blocking: bool = False) -> None:
        """Note a copy into an existing tensor."""
        if device_of(to) == EITHER:
            put(to, device_of(source))
        elif EITHER not in (device_of(source), device_of(to)):
            self.moved(source, device_of(to), without_waiting=non_blocking and (pinned(source) or pinned(to)))

    def moved(self, source: Tensor, to: Any, *, without_waiting: bool) -> None:
        """Note a copy between devices."""
        if device_of(source) in (to, EITHER):
            return
        kind = self.notes.sent if without_waiting else self.notes.copies if to == GPU else self.notes.waits
        kind[f"{line()} copy to the {'GPU' if to == GPU else 'CPU'} of {tuple(source.shape)}"] += 1


class Calls(TorchFunctionMode):
    """Sees every call of torch that names or asks for a device."""

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self.operations = operations
        self.own: dict[Any, Callable[..., Any]] = {
            Tensor.device.__get__: lambda tensor: GPU if device_of(tensor) == GPU else Tensor.device.__get__(tensor),
            Tensor.is_cuda.__get__: lambda tensor: device_of(tensor) == GPU,
            Tensor.is_cpu.__get__: lambda tensor: device_of(tensor) != GPU,
            Tensor.pin_memory: lambda tensor, *_: pin(tensor),
            Tensor.is_pinned: lambda tensor, *_: pinned(tensor),
            Tensor.record_stream: lambda *_: None,
            Tensor.new_tensor: self.new_tensor,
            Tensor.to: self.to,
            Tensor.cuda: lambda tensor, device=GPU, **more: self.to(tensor, device, **more),
            Tensor.cpu: lambda tensor, **more: self.to(tensor, CPU, **more),
            **{read: partial(self.read, read) for read in (Tensor.tolist, Tensor.numpy, Tensor.__array__)},
            Tensor.__deepcopy__: lambda tensor, memo: put(Tensor.__deepcopy__(tensor, memo), device_of(tensor)),
            F.one_hot: one_hot,
            torch._C._nn._parse_to: torch._C._nn._parse_to,  # reads the arguments of `Module.to`
        }

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in self.own:
            return self.own[function](*args, **kwargs)
        device = torch.device(kwargs.get("device") or CPU).type
        if device != "meta" and (kwargs.get("device") is not None or kwargs.get("pin_memory")):
            return self.make(function, args, kwargs, GPU if device == "cuda" else CPU)
        with self.operations.making(CPU) if not tensors_in((args, kwargs)) else nullcontext():
            return function(*args, **kwargs)

    def make(self, function: Any, args: Any, kwargs: dict[str, Any], where: Any) -> Any:
        """Call a function that makes tensors on a device, perhaps from values on the CPU."""
        pinning = kwargs.pop("pin_memory", False)
        kwargs["device"] = CPU
        from_values = function in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        with self.operations.making(CPU if from_values else where):
            made = function(*args, **kwargs)
        if from_values and device_of(made) != where:
            self.operations.moved(made, where, without_waiting=False)
            made = made.clone()  # because `as_tensor` may share memory
        return pin(made) if pinning else put(made, where)

    def new_tensor(self, tensor: Tensor, data: Any, **kwargs: Any) -> Tensor:
        """Make a tensor of values on the CPU where another tensor is."""
        device = torch.device(kwargs.get("device") or self.own[Tensor.device.__get__](tensor))
        return self.make(Tensor.new_tensor, (tensor, data), kwargs, GPU if device.type == "cuda" else CPU)

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Move to another device, type or layout; the arguments are those of `Tensor.to`."""
        copy = kwargs.pop("copy", False)
        if args and isinstance(args[0], Tensor):
            args = (GPU if device_of(args[0]) == GPU else CPU, args[0].dtype, *args[1:])
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        where = device_of(tensor) if device is None else GPU if device.type == "cuda" else CPU
        dtype, layout = dtype or tensor.dtype, layout or torch.preserve_format
        if where == device_of(tensor):
            return Tensor.to(tensor, dtype, copy=copy, memory_format=layout)
        without_waiting = non_blocking and (where == CPU or pinned(tensor))
        self.operations.moved(tensor, where, without_waiting=without_waiting)
        with self.operations.making(where):
            moved = Tensor.to(tensor, dtype, copy=True, memory_format=layout)
        moved.untyped_storage().pinned = non_blocking and where == CPU  # as torch allocates it
        return moved

    def read(self, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Read the values on the host: lists are copied from the GPU, arrays are refused by torch."""
        if device_of(tensor) == GPU:
            kind = self.operations.notes.waits if function is Tensor.tolist else self.operations.notes.mixes
            kind[f"{line()} {function.__name__}"] += 1
        return function(tensor, *args, **kwargs)


def one_hot(labels: Tensor, num_classes: int = -1) -> Tensor:
    """Read the labels only for an unknown number of classes; torch also checks them on the CPU."""
    count = num_classes if num_classes >= 0 else 1 + int(labels.max())
    return labels.new_zeros((*labels.shape, count)).scatter_(-1, labels[..., None], 1)


class Moment:
    """An event or a stream: everything before it is done, and waiting for it is noted."""

    def __init__(self, notes: Notes, *_: Any, **__: Any) -> None:
        self.notes = notes

    def synchronize(self) -> None:
        self.notes.waits[f"{line()} synchronize"] += 1

    def record_event(self, event: "Moment | None" = None) -> "Moment":
        return event or Moment(self.notes)

    query = wait = record = wait_stream = wait_event = lambda *_: True


def pinned_batches(iterate: Callable[[DataLoader], Any], loader: DataLoader) -> Iterator[Any]:
    """Yield the batches of a loader, pinned as torch does where there is an accelerator."""
    wanted, loader.pin_memory = loader.pin_memory, False
    try:
        yield from map(pin_memory, iterate(loader)) if wanted else iterate(loader)
    finally:
        loader.pin_memory = wanted


@contextmanager
def pretended_gpu() -> Iterator[Notes]:
    """Pretend that there is a GPU; yields the notes of what happens inside."""
    notes = Notes()
    autocast, scaler, batches = torch.autocast.__init__, torch.amp.GradScaler, DataLoader.__iter__
    operations = Operations(notes)
    calls, engine, group = (
        Calls(operations),
        torch.autograd._engine_run_backward,
        torch._C._group_tensors_by_device_and_dtype,
    )

    def backward_in_python_is_seen(*args: Any, **kwargs: Any) -> Any:
        with calls:
            return engine(*args, **kwargs)

    def grouped(lists: list[list[Tensor]], *given: Any) -> Any:  # gradients and weights, for clipping and optimisers
        of_gpu = {id(tensor) for tensor in tensors_in(lists) if device_of(tensor) == GPU}
        groups = group(lists, *given).items()
        return {
            (GPU if id(found[0][0]) in of_gpu else key[0], key[1]): (found, indices) for key, (found, indices) in groups
        }

    def autocast_on_cpu(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        autocast(self, "cpu", *args, **kwargs)

    cuda = {
        "is_bf16_supported": lambda **_: True,
        "synchronize": lambda *_: Moment(notes).synchronize(),
        "max_memory_allocated": lambda *_: 0,
        "mem_get_info": lambda *_: (2**36, 2**36),
        "get_device_name": lambda *_: "pretended",
        "Event": partial(Moment, notes),
        "Stream": partial(Moment, notes),
        "current_stream": lambda *_: Moment(notes),
        "stream": lambda *_: nullcontext(),
    }
    with ExitStack() as stack:
        stack.enter_context(patch.multiple(torch.cuda, **cuda))
        stack.enter_context(patch.object(torch.autocast, "__init__", autocast_on_cpu))
        stack.enter_context(patch.object(torch.amp, "GradScaler", lambda device="cpu", **given: scaler("cpu", **given)))
        stack.enter_context(patch.object(torch.autograd, "_engine_run_backward", backward_in_python_is_seen))
        stack.enter_context(patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(patch.object(DataLoader, "__iter__", lambda loader: pinned_batches(batches, loader)))
        stack.enter_context(operations)
        stack.enter_context(calls)
        yield notes
