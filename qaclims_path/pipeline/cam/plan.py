"""Indices of the (image, class) pairs of a batch, made on the CPU while it is loaded and sent to the device at once.

With them a training step never asks the device how many pairs there are, which would make the host wait.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.chunks import balanced

PLAN = "plan"  # name of the plan in a batch
ROWS = "label", "foreground", "foreground_owner", "background", "background_owner"  # fields of PairTexts
FindTexts = Callable[[Sequence[tuple[str, int]]], Mapping[str, Tensor]]
MULTIPLE = 8  # pairs; a GPU tunes its kernels for each number of pairs anew


@dataclass(frozen=True)
class Chunk:
    """Pairs that the judge encodes together.

    Attributes:
        image: Q, position of each pair's image in the batch; Q is P, filled up to a multiple with the last pair.
        label: Q, class of each pair.
        texts: Rows of the texts of the P real pairs, by field of `PairTexts`.
    """

    image: Tensor
    label: Tensor
    texts: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.texts["label"])


@dataclass(frozen=True)
class Plan:
    """Everything that the labels of a batch say about its pairs.

    Attributes:
        numbers: All vectors of indices behind each other, int64: pairs of each class, and those of every chunk.
        lengths: Length of each vector.
        per_class: C, number of pairs of each class, known without asking the device.
    """

    numbers: Tensor
    lengths: tuple[int, ...]
    per_class: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(self.per_class)

    @property
    def counts(self) -> Tensor:
        """C, number of pairs of each class, on the device."""
        return self.numbers[: len(self.per_class)]

    def chunks(self) -> list[Chunk]:
        """Return the chunks; none if the plan was made without texts."""
        _, *vectors = torch.split(self.numbers, list(self.lengths))
        width = 2 + len(ROWS)
        each = [vectors[start : start + width] for start in range(0, len(vectors), width)]
        return [Chunk(image, label, dict(zip(ROWS, rows, strict=True))) for image, label, *rows in each]

    def pin_memory(self) -> "Plan":
        """Copy into page-locked memory; the loader calls this."""
        return replace(self, numbers=self.numbers.pin_memory())

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Plan":
        """Copy to a device."""
        return replace(self, numbers=self.numbers.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class Planner:
    """Collates samples, and adds the plan of their pairs to the batch.

    Attributes:
        collate: Makes a batch with `id` and `present`.
        texts: Finds rows of texts, see `TextRows.of_pairs`; None plans no chunks, for methods without language.
        chunk: Most pairs of a chunk.
        multiple: Chunks are filled up to a multiple of this number.
    """

    collate: Callable[[list[Any]], Mapping[str, Any]]
    texts: FindTexts | None = None
    chunk: int = 64
    multiple: int = 1

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        """Collate samples."""
        batch = self.collate(samples)
        return {**batch, PLAN: self.plan(batch["id"], batch["present"])}

    def plan(self, ids: Sequence[str], present: Tensor) -> Plan:
        """Plan the pairs of a batch: B ids, and B C labels on the CPU."""
        image, label = present.nonzero(as_tuple=True)
        per_class = present.sum(0)
        vectors = [per_class, *(self._chunks(ids, image, label) if self.texts else ())]
        lengths = tuple(len(vector) for vector in vectors)
        return Plan(torch.cat(vectors), lengths, tuple(per_class.tolist()))

    def _chunks(self, ids: Sequence[str], image: Tensor, label: Tensor) -> list[Tensor]:
        """Return the vectors of all chunks, in the order of the fields of `Chunk`."""
        pairs = [(ids[row], number) for row, number in zip(image.tolist(), label.tolist(), strict=True)]
        ends = torch.tensor([0, *balanced(len(pairs), self.chunk, self.multiple)]).cumsum(0).tolist()
        vectors: list[Tensor] = []
        for start, end in pairwise(ends):
            texts = self.texts(pairs[start:end]) if self.texts else {}
            more = min(-(end - start) % self.multiple, max(self.chunk - (end - start), 0))
            vectors += [F.pad(of_all[start:end], (0, more), value=int(of_all[end - 1])) for of_all in (image, label)]
            vectors += [texts[name] for name in ROWS]
        return vectors


def multiple_of(chunk: int, device: torch.device) -> int:
    """Return the multiple that chunks are filled up to: 8 on a GPU, less for small chunks, and 1 on a CPU."""
    return 1 if device.type == "cpu" else max(1, min(MULTIPLE, chunk // 4))
