"""Sums of logged numbers over an epoch, kept on the device so that adding to them never waits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Numbers = Sequence[Mapping[str, Tensor]]  # what a task returned for each micro-batch of a step


class Sums:
    """Adds up every number of a task over the steps that have it.

    Args:
        device: Device of the numbers.
    """

    def __init__(self, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    @torch.no_grad()
    def add(self, numbers: Numbers) -> None:
        """Add the mean of every number over the micro-batches of a step that have it."""
        holders = Counter(name for each in numbers for name in each)
        for each in numbers:
            values = torch.stack([value.float() for value in each.values()]).to(self._dtype)
            for name in each:
                if name not in self._sums:
                    self._sums[name] = torch.zeros((), dtype=self._dtype, device=self._device)
            parts = torch._foreach_mul(values.unbind(), [1 / holders[name] for name in each])
            torch._foreach_add_([self._sums[name] for name in each], parts)
        self._counts.update(holders.keys())

    def read(self) -> dict[str, list[float]]:
        """Copy sum and count of every number to the CPU, in one copy."""
        if not self._sums:
            return {}
        totals = torch.stack([*self._sums.values()]).tolist()
        return {name: [total, self._counts[name]] for name, total in zip(self._sums, totals, strict=True)}

    def load(self, sums: Mapping[str, Sequence[float]]) -> None:
        """Continue from the result of `read`."""
        self._counts = Counter({name: int(count) for name, (_, count) in sums.items()})
        totals = torch.tensor([total for total, _ in sums.values()], dtype=self._dtype, device=self._device)
        self._sums = {name: total.clone() for name, total in zip(sums, totals, strict=True)}


def mean_numbers(numbers: Numbers, values: Sequence[float]) -> dict[str, float]:
    """Return the mean of every number over the micro-batches that have it.

    Args:
        numbers: The numbers on the device.
        values: The same on the CPU, one micro-batch after the other.
    """
    return mean_of_each(zip((name for each in numbers for name in each), values, strict=True))


def mean_of_each(named: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the mean of all numbers of one name.

    Examples:
        >>> mean_of_each([("loss", 1.0), ("area", 0.5), ("loss", 3.0)])
        {'loss': 2.0, 'area': 0.5}
    """
    values: dict[str, list[float]] = {}
    for name, value in named:
        values.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}
