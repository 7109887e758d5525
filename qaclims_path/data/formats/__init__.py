"""Format readers: one small file per layout found in the wild, each able to list a split and to write a fake one.

A reader opens no image and no mask to list a split. A new layout is a module with two functions, registered here or
through the entry-point group `qaclims_path.formats`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.record import Record
from qaclims_path.registry import Registry


@dataclass(frozen=True)
class FakeItem:
    """What a fake image needs to be written: pixels (H W 3), label indices (H W), and whose it is."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    patient: str
    x: int
    y: int


@dataclass(frozen=True)
class Format:
    """A layout: how a split is listed, and how one is written for tests.

    Attributes:
        records: (card, root, split name) -> records in a stable order. Raises `DatasetProblem` with the spellings it
            looked for when a folder or file is missing.
        write: (card, root, split name, items) writes the split in the exact published layout.
    """

    records: Callable[[Card, Path, str], list[Record]]
    write: Callable[[Card, Path, str, Iterable[FakeItem]], None]


FORMATS: Registry[Format] = Registry("format", group="qaclims_path.formats")
