"""Numeric precision of a training: fp32, or bf16 or fp16 under autocast, with the scale of the loss for fp16."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

PrecisionName = Literal["fp32", "bf16", "fp16"]
FIRST_SCALE = 2.0**16
GROW_AFTER = 2000  # steps


class Precision:
    """Autocast and, for fp16, the scale of the loss.

    The scale follows the rule of torch's `GradScaler`: half after a gradient that overflowed, double after `GROW_AFTER`
    steps without. `GradScaler` keeps it on the GPU and makes a step wait twice for it; here a step's norm, which is
    copied anyway, says whether the gradient overflowed.

    Attributes:
        name: `fp32`, `bf16` or `fp16`.
        scale: Factor of the loss, which keeps small gradients from becoming zero in fp16; 1 in other precisions.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name: PrecisionName = name
        self.device = device
        self.scale = FIRST_SCALE if name == "fp16" else 1.0
        self._steps = 0  # without an overflow

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that runs operations in this precision."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.name != "fp32")

    def adapt(self, *, overflow: bool) -> None:
        """Change the scale of fp16 after a step."""
        if self.name != "fp16":
            return
        self._steps = 0 if overflow else self._steps + 1
        if overflow:
            self.scale /= 2
        elif self._steps == GROW_AFTER:
            self.scale, self._steps = 2 * self.scale, 0

    def state_dict(self) -> dict[str, float]:
        """Return the scale of fp16 under the names of `GradScaler`, for JSON."""
        return {"scale": self.scale, "_growth_tracker": self._steps} if self.name == "fp16" else {}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Load the scale if the checkpoint was trained in fp16, as this training is."""
        if state and self.name == "fp16":
            self.scale, self._steps = float(state["scale"]), int(state["_growth_tracker"])
