"""Records: the images of a split as listed, before any file is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.errors import BadFile
from qaclims_path.files.images import image_size, read_image, read_mask


class ImageSource(Protocol):
    """Source of the pixels of one image: a file, or a tile of a slide."""

    @property
    def name(self) -> str:
        """Name of the image in tables."""
        ...

    def pixels(self) -> NDArray[np.uint8]:
        """Read the image (H W 3)."""
        ...

    def size(self) -> tuple[int, int]:
        """Read width and height without decoding the image."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture on disk."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def pixels(self) -> NDArray[np.uint8]:
        """Read the image (H W 3)."""
        return read_image(self.path)

    def size(self) -> tuple[int, int]:
        """Read width and height from the header."""
        return image_size(self.path)

    def __str__(self) -> str:
        return str(self.path)


class MaskSource(Protocol):
    """Source of the mask of one image: a file, or polygons in an annotation file."""

    def codes(self) -> NDArray[np.uint8]:
        """Read the codes on disk (H W)."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask on disk, and optionally a second file that marks background."""

    path: Path
    background: Path | None = None
    background_code: int = 0

    def codes(self) -> NDArray[np.uint8]:
        """Read the codes (H W); pixels marked in the background file become background."""
        codes = read_mask(self.path)
        if self.background is None:
            return codes
        marked = read_mask(self.background) > 0
        if marked.shape != codes.shape:
            raise BadFile(f"{self.background} is {_size(marked)} pixels, but {self.path} is {_size(codes)}.")
        return np.where(marked, np.uint8(self.background_code), codes)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a split.

    Attributes:
        id: Name inside the split without suffix; its prediction has the same name.
        image: Source of its pixels.
        present: Indices of the classes present, or None if they must be read from the mask.
        mask: Source of the truth, or None if the split trains on image labels.
        patient: Name of the patient, if known.
        slide: Name of the slide that the image is a tile of, if known.
        unknown: Indices of the classes of which it is not known whether they are present.
    """

    id: str
    image: ImageSource
    present: tuple[int, ...] | None
    mask: MaskSource | None = None
    patient: str | None = None
    slide: str | None = None
    unknown: tuple[int, ...] = ()


def truth_of(card: Card, record: Record) -> NDArray[np.uint8]:
    """Read the truth as H W label indices."""
    if record.mask is None:
        raise BadFile(f"{record.image} has no mask: its split trains on image labels.")
    return card.decode(record.mask.codes(), record.mask)


def classes_in(card: Card, labels: NDArray[np.uint8]) -> tuple[int, ...]:
    """List the classes with at least one pixel in H W label indices."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(int(i) for i in np.flatnonzero(counts[: len(card.classes)]))


def load_record(card: Card, record: Record) -> tuple[NDArray[np.uint8], tuple[int, ...], NDArray[np.uint8] | None]:
    """Read pixels (H W 3), classes present and truth (H W label indices, or None) of one image."""
    image = record.image.pixels()
    if record.mask is None:
        return image, record.present or (), None
    truth = truth_of(card, record)
    if truth.shape != image.shape[:2]:
        raise BadFile(f"{record.mask} is {_size(truth)} pixels, but {record.image} is {_size(image)}.")
    return image, record.present if record.present is not None else classes_in(card, truth), truth


def _size(array: NDArray[np.generic]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
