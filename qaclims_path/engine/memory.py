"""Compute what to lower where memory ran out, from the size of the device, its use, and the batch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

LEFT = 0.9  # share of the device that a training may plan with: blocks do not fit without gaps
UNITS = {"MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class MemoryUse:
    """Memory of a GPU when it did not suffice, in bytes.

    Attributes:
        name: Name of the GPU.
        total: Size of its memory.
        others: Held by other programs.
        fixed: Weights, gradients and optimiser, whatever the batch.
        peak: Most that this process used.
        asked: Memory that it asked for and did not get.
    """

    name: str
    total: int
    others: int
    fixed: int
    peak: int
    asked: int

    def fitting_share(self) -> float:
        """Return the share of the images in memory at a time that fits; at most a half, and 0 if none does."""
        room = LEFT * (self.total - self.others) - self.fixed
        return max(0.0, min(0.5, room / max(self.peak + self.asked - self.fixed, 1)))

    def __str__(self) -> str:
        others = f", of which other programs hold {_gib(self.others)}" if self.others > 2**30 else ""
        return (
            f"The {self.name} has {_gib(self.total)} GiB{others}; this training used {_gib(self.peak)} "
            f"({_gib(self.fixed)} for weights and optimiser) and asked for {_gib(self.asked)} more."
        )


def memory_use(device: torch.device, fixed: int, message: str) -> MemoryUse | None:
    """Look at the memory of a GPU after an error of torch; None on other devices."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    others = max(0, total - free - torch.cuda.memory_reserved(device))
    peak = torch.cuda.max_memory_allocated(device)
    return MemoryUse(torch.cuda.get_device_name(device), total, others, fixed, peak, asked_bytes(message))


def asked_bytes(message: str) -> int:
    """Read the size that torch tried to allocate.

    Examples:
        >>> asked_bytes("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...") == 20 * 2**20
        True
    """
    found = re.search(r"Tried to allocate ([\d.]+) (MiB|GiB)", message)
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def fixed_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of the trained weights, their gradients, and the optimiser's state."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = [
        value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)
    ]
    return sum(int(2 * each.nbytes) for each in parameters) + sum(int(each.nbytes) for each in states)


def what_to_lower(share: float, images: int, accumulate: int, others: Mapping[str, int]) -> str:
    """Name the options that bring the memory of a step down to a share of it.

    Args:
        share: Share of the memory that fits; 0 names the least.
        images: Images that one process trains on in a step.
        accumulate: Micro-batches that they are split into now.
        others: Other options to lower in proportion, and their values.

    Examples:
        >>> what_to_lower(0.5, 32, 1, {"judge.chunk": 64})
        'Set accumulate to 2 (now 1: 16 images at a time instead of 32), judge.chunk to 32 (now 64)'
    """
    now = images // accumulate
    fitting = next(count for count in range(max(1, int(now * share)), 0, -1) if images % count == 0)
    advice = [f"{name} to {max(1, int(value * share))} (now {value})" for name, value in others.items() if value > 1]
    if fitting < now:
        at_a_time = f"now {accumulate}: {fitting} images at a time instead of {now}"
        advice.insert(0, f"accumulate to {images // fitting} ({at_a_time})")
    return f"Set {', '.join(advice)}" if advice else "Train on smaller images: one is in memory at a time"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
