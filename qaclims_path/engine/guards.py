"""What stops a training before its time: numbers that explode, memory that is out, somebody who asks."""

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from qaclims_path.engine.checkpoint import save_weights
from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import atomic_path, write_json

REMEMBERED = 0.98  # share of the usual loss that a step keeps
SETTLED = 20  # steps before which no loss is unusual
SHOWN = 8
ECHO = 1.0  # seconds in which a signal that comes again is the same one: sent to a process and to its group
NO_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "_alloc_failed")


class Exploded(QaclimsError):
    """The loss or its gradient is no longer a number, or far too large."""


class OutOfMemory(QaclimsError):
    """The device or the machine has no memory left."""


class Interrupted(QaclimsError):
    """Somebody asked the training to stop; it is saved."""

    exit_code = 130


class Asked:
    """Whether a signal has asked to stop.

    Attributes:
        stop: True from then on.
    """

    stop = False


@contextmanager
def listening() -> Iterator[Asked]:
    """Turn the first Ctrl-C or SIGTERM (as SLURM sends it) into a question that the loop asks; a later one kills."""
    asked = Asked()
    before: dict[int, Any] = {}
    first = 0.0

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal wants it
        nonlocal first
        if not asked.stop:
            asked.stop, first = True, time.monotonic()
        elif time.monotonic() - first > ECHO:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.raise_signal(number)

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            before[wanted] = signal.signal(wanted, hear)
    except ValueError:  # not the main thread, which alone gets signals
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def usual(before: float, loss: float, step: int) -> float:
    """Running mean of the size of the loss."""
    return abs(loss) if step == 0 else REMEMBERED * before + (1 - REMEMBERED) * abs(loss)


def problem(loss: float, norm: float, before: float, step: int, *, most: float | None, fp16: bool) -> str:
    """What is wrong with a step, or nothing. In fp16 a gradient may overflow: the loss scale takes care of it."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm) and not fp16:
        return f"the gradient is {norm}"
    if most is not None and step >= SETTLED and abs(loss) > most * max(before, 1e-6):
        return f"the loss is {loss:g}, over {most:g} times its usual {before:g}"
    return ""


def explain(what: str, step: int, names: Sequence[str], dump: Path) -> str:
    """Say where a training exploded."""
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return (
        f"Stopped at step {step}: {what}. The images were {shown or 'without names'}; everything to look at is in "
        f"{dump}. Lower lr, set clip (such as clip: 1.0) or warmup, or use fp32."
    )


def write_dump(path: Path, network: nn.Module, pieces: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write what a bad step was made of: weights before it, the batch, the numbers, and which gradients are bad."""
    bad = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
    ]
    batch = {
        f"{number}.{name}": value
        for number, piece in enumerate(pieces)
        for name, value in piece.items()
        if isinstance(value, Tensor)
    }
    if path.exists():  # the same step of an earlier attempt says the same
        return
    with atomic_path(path) as temporary:
        temporary.mkdir()
        save_weights(temporary / "weights.safetensors", network.state_dict())
        save_weights(temporary / "batch.safetensors", batch)
        write_json(temporary / "facts.json", {**facts, "bad_gradients": bad})


@contextmanager
def memory_watched(advice: str, what: str = "a step") -> Iterator[None]:
    """Turn a lack of memory into a sentence that says what to lower.

    On the CPU, and from the libraries below it, torch says so with a plain `RuntimeError`.

    Args:
        advice: What to lower, as a sentence.
        what: That memory does not suffice for.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        lacking = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not lacking and not any(words in str(error).lower() for words in NO_MEMORY):
            raise
        raise OutOfMemory(f"There is not enough memory for {what}. {advice}") from error
