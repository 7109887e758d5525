"""Numeric precision of a training: fp32, bf16 or fp16 under autocast, and the choice between fp32 and bf16."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

PrecisionName = Literal["fp32", "bf16", "fp16"]
ROUNDS = 2  # timed runs of each precision
FASTER = 0.97  # bf16 is chosen if it needs less than this share of fp32's time


class Precision:
    """Autocast and, for fp16, loss scaling.

    Attributes:
        name: `fp32`, `bf16` or `fp16`.
        scaler: Scales the loss so that gradients do not vanish in fp16; does nothing in other precisions.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name: PrecisionName = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that runs operations in this precision."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.name != "fp32")

    @property
    def scale(self) -> float:
        """Factor of the loss."""
        return float(self.scaler.get_scale())


def time_precisions(attempt: Callable[[Precision], None], device: torch.device) -> dict[str, float]:
    """Time a function in fp32 and bf16, in turns after one warm-up each; returns the fewest seconds of each."""
    candidates = [Precision("fp32", device), Precision("bf16", device)]
    best = {candidate.name: float("inf") for candidate in candidates}
    for precision in candidates:
        _seconds(attempt, precision)
    for _ in range(ROUNDS):
        for precision in candidates:
            best[precision.name] = min(best[precision.name], _seconds(attempt, precision))
    return {str(name): seconds for name, seconds in best.items()}


def faster_precision(seconds: dict[str, float]) -> tuple[PrecisionName, str]:
    """Choose by measured seconds; also a sentence with both times.

    Examples:
        >>> faster_precision({"fp32": 2.0, "bf16": 1.0})
        ('bf16', 'precision auto: bf16 (1.000 s a step against 2.000 s in fp32)')
    """
    name: PrecisionName = "bf16" if seconds["bf16"] < FASTER * seconds["fp32"] else "fp32"
    other = "fp32" if name == "bf16" else "bf16"
    return name, f"precision auto: {name} ({seconds[name]:.3f} s a step against {seconds[other]:.3f} s in {other})"


def _seconds(attempt: Callable[[Precision], None], precision: Precision) -> float:
    _synchronise(precision.device)
    start = time.perf_counter()
    attempt(precision)
    _synchronise(precision.device)
    return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
