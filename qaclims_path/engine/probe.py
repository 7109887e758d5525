"""Choice of precision by timing the first batch, without changing the training's state."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from qaclims_path.compute.devices import has_bf16
from qaclims_path.engine.guards import OutOfMemory, memory_watched
from qaclims_path.engine.precision import Precision, PrecisionName
from qaclims_path.engine.seeds import preserved_random_state
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.task import Batch, Stateful, StepInfo

ROUNDS = 2  # timed runs of each precision
FASTER = 0.97  # half precision is chosen if it needs less than this share of fp32's time


def choose_precision(stepper: Stepper, micro_batch: Batch) -> tuple[PrecisionName, str]:
    """Time forward and backward of a micro-batch in fp32 and in half precision; all processes choose the same.

    Returns:
        Name of the faster precision, and a sentence with both times.

    Raises:
        OutOfMemory: The memory suffices for neither.
    """
    device = stepper.processes.device
    half = half_precision(device)
    middle = StepInfo(stepper.steps // 2, stepper.steps, 0, stepper.counts([micro_batch]))

    def attempt(name: PrecisionName) -> None:
        stepper.precision = Precision(name, device)
        try:
            stepper.backward_one(micro_batch, middle, share=1.0)
        finally:
            stepper.optimizer.zero_grad(set_to_none=True)

    before = stepper.precision
    with _restored(stepper):
        seconds = time_precisions(attempt, ("fp32", half), device)
    stepper.precision = before
    means = stepper.processes.sum(torch.tensor([*seconds.values()])) / stepper.processes.size
    return faster_precision(dict(zip(seconds, means.tolist(), strict=True)), half, stepper.advise())


def half_precision(device: torch.device) -> PrecisionName:
    """Return the half precision of a device: bf16, or fp16 on a GPU without bf16 (T4, V100)."""
    if device.type == "cuda" and not has_bf16():
        return "fp16"
    return "bf16"


def time_precisions(
    attempt: Callable[[PrecisionName], None], names: Sequence[PrecisionName], device: torch.device
) -> dict[PrecisionName, float]:
    """Time a function in some precisions, in turns after one warm-up each.

    Returns:
        The fewest seconds of each; infinite for one that does not fit into memory.
    """
    fitting = [name for name in names if math.isfinite(_seconds(attempt, name, device))]
    best: dict[PrecisionName, float] = dict.fromkeys(names, math.inf)
    for _ in range(ROUNDS):
        for name in fitting:
            best[name] = min(best[name], _seconds(attempt, name, device))
    return best


def faster_precision(
    seconds: Mapping[PrecisionName, float], half: PrecisionName = "bf16", advice: str = ""
) -> tuple[PrecisionName, str]:
    """Choose by measured seconds, infinite for a lack of memory; also a sentence with both.

    Examples:
        >>> faster_precision({"fp32": 2.0, "bf16": 1.0})
        ('bf16', 'precision auto: bf16 (1.000 s a step against 2.000 s in fp32)')
        >>> faster_precision({"fp32": float("inf"), "bf16": 1.0})
        ('bf16', 'precision auto: bf16 (fp32 does not fit into memory)')
    """
    name: PrecisionName = half if seconds[half] < FASTER * seconds["fp32"] else "fp32"
    other: PrecisionName = "fp32" if name == half else half
    if not math.isfinite(seconds[name]):
        raise OutOfMemory(f"There is not enough memory for a step, neither in fp32 nor in {half}. {advice}")
    if not math.isfinite(seconds[other]):
        return name, f"precision auto: {name} ({other} does not fit into memory)"
    return name, f"precision auto: {name} ({seconds[name]:.3f} s a step against {seconds[other]:.3f} s in {other})"


def _seconds(attempt: Callable[[PrecisionName], None], name: PrecisionName, device: torch.device) -> float:
    """Time one call; infinite if the memory does not suffice."""
    _synchronise(device)
    start = time.perf_counter()
    try:
        with memory_watched(""):
            attempt(name)
    except OutOfMemory:
        pass
    else:
        _synchronise(device)
        return time.perf_counter() - start
    if device.type == "cuda":  # the next precision needs blocks of other sizes
        torch.cuda.empty_cache()
    return math.inf


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _restored(stepper: Stepper) -> Iterator[None]:
    """Restore the state that a forward pass changes: buffers (batch norm), the task's state, random states."""
    task = stepper.task
    buffers = [(buffer, buffer.detach().clone()) for buffer in task.network.buffers()]
    state = (
        {name: value.detach().clone() for name, value in task.state_dict().items()}
        if isinstance(task, Stateful)
        else {}
    )
    with preserved_random_state():
        yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    if isinstance(task, Stateful):
        task.load_state_dict(state)
