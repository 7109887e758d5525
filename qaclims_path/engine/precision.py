"""The arithmetic of a training: fp32, bf16 or fp16 under autocast, and which of them is the fastest here."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

Name = Literal["fp32", "bf16", "fp16"]
ROUNDS = 2
WORTH = 0.97  # share of fp32's time below which bf16 counts as faster


class Precision:
    """Autocast and, for fp16, the loss scale.

    Attributes:
        name: `fp32`, `bf16` or `fp16`.
        scaler: Scales the loss where the gradients of fp16 would vanish; does nothing otherwise.
    """

    def __init__(self, name: Name, device: torch.device) -> None:
        self.name: Name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def cast(self) -> AbstractContextManager[Any]:
        """Run a block in this precision."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.name != "fp32")

    @property
    def scale(self) -> float:
        """What the loss is multiplied by."""
        return float(self.scaler.get_scale())


def fastest(attempt: Callable[[Precision], None], device: torch.device) -> dict[str, float]:
    """Time an attempt in fp32 and bf16, in turns after one warm-up each; returns the shortest seconds of each."""
    candidates = [Precision("fp32", device), Precision("bf16", device)]
    best = {candidate.name: float("inf") for candidate in candidates}
    for precision in candidates:
        _seconds(attempt, precision)
    for _ in range(ROUNDS):
        for precision in candidates:
            best[precision.name] = min(best[precision.name], _seconds(attempt, precision))
    return {str(name): seconds for name, seconds in best.items()}


def chosen(seconds: dict[str, float]) -> tuple[Name, str]:
    """Pick from the measured seconds, and say so.

    Example:
        >>> chosen({"fp32": 2.0, "bf16": 1.0})
        ('bf16', 'precision auto: bf16 (1.000 s a step against 2.000 s in fp32)')
    """
    name: Name = "bf16" if seconds["bf16"] < WORTH * seconds["fp32"] else "fp32"
    other = "fp32" if name == "bf16" else "bf16"
    return name, f"precision auto: {name} ({seconds[name]:.3f} s a step against {seconds[other]:.3f} s in {other})"


def _seconds(attempt: Callable[[Precision], None], precision: Precision) -> float:
    _finish(precision.device)
    start = time.perf_counter()
    attempt(precision)
    _finish(precision.device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
