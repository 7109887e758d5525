"""Decoded images, and a source that decodes each of them once."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.files.kept import Kept


@dataclass(frozen=True)
class Decoded:
    """One image as it is stored.

    Attributes:
        id: Name of the image.
        pixels: H W 3.
        present: C, classes present; None where the training does not use them.
        planes: P H W, labels and whatever else moves with the image; None without masks.
    """

    id: str
    pixels: NDArray[np.uint8]
    present: Tensor | None = None
    planes: NDArray[np.uint8] | None = None


class Source(Protocol):
    """Images by index, decoded."""

    def __len__(self) -> int: ...

    def decoded(self, index: int) -> Decoded:
        """Read one image."""
        ...


class KeptSource:
    """Decodes each image of a source on first use, and keeps it.

    Args:
        source: The images.
        kept: Where they are kept.
    """

    def __init__(self, source: Source, kept: Kept) -> None:
        self.source, self.kept = source, kept

    def __len__(self) -> int:
        return len(self.source)

    def decoded(self, index: int) -> Decoded:
        """Return one image."""
        arrays = self.kept.get(index)
        if arrays is None:
            found = self.source.decoded(index)
            self.kept.put(index, _arrays(found))
            return found
        name, pixels, present, *planes = arrays
        return Decoded(
            name.tobytes().decode(),
            pixels,
            torch.from_numpy(present.astype(bool)) if len(present) else None,
            planes[0] if planes else None,
        )


def first_size(source: Source) -> int:
    """Return the bytes of the first image."""
    return sum(array.nbytes for array in _arrays(source.decoded(0)))


def _arrays(image: Decoded) -> list[NDArray[np.uint8]]:
    present = np.zeros(0, np.uint8) if image.present is None else image.present.numpy().astype(np.uint8)
    planes = [] if image.planes is None else [image.planes]
    return [np.frombuffer(image.id.encode(), np.uint8), image.pixels, present, *planes]
