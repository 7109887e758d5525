"""Folder layouts of data sets: one file per layout, which lists the records of a split and writes a fake split.

Listing opens neither images nor masks. A new layout is a module with two functions, registered in `FORMATS` or through
the entry-point group `qaclims_path.formats`.
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
    """A fake image: pixels (H W 3), label indices (H W), patient, and position on the slide in pixels."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    patient: str
    x: int
    y: int


@dataclass(frozen=True)
class Format:
    """The two functions of a layout.

    Attributes:
        records: (card, root, split name) -> records in a stable order. If a folder or file is missing, raises
            `DatasetProblem` with the accepted spellings.
        write: (card, root, split name, items) -> None; writes the split in the exact published layout.
    """

    records: Callable[[Card, Path, str], list[Record]]
    write: Callable[[Card, Path, str, Iterable[FakeItem]], None]


FORMATS: Registry[Format] = Registry("format", group="qaclims_path.formats")
