"""Decoded images, and a source that decodes each of them once."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.files.kept import Kept

PRESENT, UNKNOWN = 1, 2  # marks of classes in a kept image; 0 is absent


@dataclass(frozen=True)
class Decoded:
    """One image as it is stored.

    Attributes:
        id: Name of the image.
        pixels: H W 3.
        present: C, classes present; None where the training does not use them.
        planes: P H W, labels and whatever else moves with the image; None without masks.
        known: C, whether it is known that the class is present or absent; all where `present` is given alone.
    """

    id: str
    pixels: NDArray[np.uint8]
    present: Tensor | None = None
    planes: NDArray[np.uint8] | None = None
    known: Tensor | None = None

    def __post_init__(self) -> None:
        if self.known is None and self.present is not None:
            object.__setattr__(self, "known", torch.ones_like(self.present))


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
        name, pixels, marks, *planes = arrays
        return Decoded(
            name.tobytes().decode(),
            pixels,
            torch.from_numpy(marks == PRESENT) if len(marks) else None,
            planes[0] if planes else None,
            torch.from_numpy(marks != UNKNOWN) if len(marks) else None,
        )


def first_size(source: Source) -> int:
    """Return the bytes of the first image."""
    return sum(array.nbytes for array in _arrays(source.decoded(0)))


def _arrays(image: Decoded) -> list[NDArray[np.uint8]]:
    planes = [] if image.planes is None else [image.planes]
    return [np.frombuffer(image.id.encode(), np.uint8), image.pixels, _marks(image), *planes]


def _marks(image: Decoded) -> NDArray[np.uint8]:
    """Return one number per class; none where the training does not use labels."""
    if image.present is None or image.known is None:
        return np.zeros(0, np.uint8)
    return np.where(image.known.numpy(), image.present.numpy(), UNKNOWN).astype(np.uint8)
