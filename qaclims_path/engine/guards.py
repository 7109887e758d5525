"""Reasons to stop a training early: exploding losses, lack of memory, signals."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from qaclims_path.engine.checkpoint import save_weights
from qaclims_path.errors import QaclimsError, first_of
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.files.processes import SAME_SIGNAL

LOSS_DECAY = 0.98  # decay of the running mean of the loss
SETTLED = 20  # steps after which that mean is compared with
NO_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "_alloc_failed")


class Exploded(QaclimsError):
    """The loss or its gradient is not a finite number, or the loss is far too large."""


class OutOfMemory(QaclimsError):
    """The device or the machine is out of memory."""


class StopRequest:
    """Whether a signal has asked the training to stop.

    Attributes:
        made: True from the first signal on.
    """

    made = False


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM (which SLURM sends) into a request to stop; a later one ends the process."""
    request = StopRequest()
    handlers_before: dict[int, Any] = {}
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        nonlocal first
        if not request.made:
            request.made, first = True, time.monotonic()
        elif time.monotonic() - first > SAME_SIGNAL:
            for each, handler in handlers_before.items():
                signal.signal(each, handler)
            signal.raise_signal(number)

    try:
        for handled in (signal.SIGINT, signal.SIGTERM):
            handlers_before[handled] = signal.signal(handled, handle)
    except ValueError:  # only the main thread receives signals
        pass
    try:
        yield request
    finally:
        for number, handler in handlers_before.items():
            signal.signal(number, handler)


def update_mean_loss(mean: float, loss: float, step: int) -> float:
    """Running mean of the absolute loss after a step."""
    return abs(loss) if step == 0 else LOSS_DECAY * mean + (1 - LOSS_DECAY) * abs(loss)


def find_problem(
    loss: float, gradient_norm: float, mean_loss: float, step: int, *, explode: float | None, fp16: bool
) -> str:
    """Describe the problem of a step; empty if there is none.

    In fp16 the gradient may overflow: the loss scale is lowered for it.

    Args:
        loss: Loss of the step.
        gradient_norm: Norm of the gradient before clipping.
        mean_loss: Running mean of the absolute loss over earlier steps.
        step: Steps done before.
        explode: Largest allowed ratio of loss and mean loss; None allows any.
        fp16: Whether the step ran in fp16.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(gradient_norm) and not fp16:
        return f"the gradient is {gradient_norm}"
    if explode is not None and step >= SETTLED and abs(loss) > explode * max(mean_loss, 1e-6):
        return f"the loss is {loss:g}, over {explode:g} times its running mean of {mean_loss:g}"
    return ""


def explain(problem: str, step: int, names: Sequence[str], dump: Path) -> str:
    """Describe at which step and on which images a training exploded, and the remedy."""
    images = first_of(names, 8) or "without names"
    return (
        f"Stopped at step {step}: {problem}. The images were {images}; weights, batch and numbers are in {dump}. "
        "Lower lr, set clip (such as clip: 1.0) or warmup, or use fp32."
    )


def write_dump(
    path: Path, network: nn.Module, micro_batches: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> None:
    """Write the weights before a bad step, its batch, its numbers, and the names of parameters with bad gradients."""
    bad = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
    ]
    batch = {
        f"{number}.{name}": value
        for number, micro_batch in enumerate(micro_batches)
        for name, value in micro_batch.items()
        if isinstance(value, Tensor)
    }
    if path.exists():  # an earlier attempt stopped at the same step, with the same numbers
        return
    with atomic_path(path) as temporary:
        temporary.mkdir()
        save_weights(temporary / "weights.safetensors", network.state_dict())
        save_weights(temporary / "batch.safetensors", batch)
        write_json(temporary / "facts.json", {**facts, "bad_gradients": bad})


@contextmanager
def memory_watched(advice: str | Callable[[str], str], purpose: str = "a step") -> Iterator[None]:
    """Turn a lack of memory into an `OutOfMemory` with advice.

    On the CPU and in CUDA's libraries, torch raises a plain `RuntimeError` for it.

    Args:
        advice: Sentence that names the option to lower, or makes it of the message of torch.
        purpose: Work that needed the memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not of_memory and not any(words in str(error).lower() for words in NO_MEMORY):
            raise
        way_out = advice if isinstance(advice, str) else advice(str(error))
        raise OutOfMemory(f"There is not enough memory for {purpose}. {way_out}") from error
