"""A record is one image as listed, before anything is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.errors import BadFile
from qaclims_path.files.images import image_size, read_image, read_mask


class ImageSource(Protocol):
    """Where the pixels of one image come from: a file, or a place on a slide."""

    @property
    def name(self) -> str:
        """Name by which tables may call the image."""
        ...

    def pixels(self) -> NDArray[np.uint8]:
        """H W 3."""
        ...

    def size(self) -> tuple[int, int]:
        """Width and height, without decoding."""
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
        """H W 3."""
        return read_image(self.path)

    def size(self) -> tuple[int, int]:
        """Width and height from the header."""
        return image_size(self.path)

    def __str__(self) -> str:
        return str(self.path)


class MaskSource(Protocol):
    """Where the mask of one image comes from: a file, or polygons in an annotation file."""

    def codes(self) -> NDArray[np.uint8]:
        """H W codes as the card lists them."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask on disk, and the file that marks background where there is one."""

    path: Path
    background: Path | None = None
    background_code: int = 0

    def codes(self) -> NDArray[np.uint8]:
        """H W codes; pixels marked in the background file become background."""
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
    """One image of a split, as listed.

    Attributes:
        id: Name inside the split without suffix; predictions carry the same name.
        image: Where its pixels come from.
        present: Indices of the classes present, or None when only the mask tells.
        mask: Where the truth comes from, or None where the split trains on image labels.
        patient: Whoever the image comes from, where the data set says.
    """

    id: str
    image: ImageSource
    present: tuple[int, ...] | None
    mask: MaskSource | None = None
    patient: str | None = None


def truth_of(card: Card, record: Record) -> NDArray[np.uint8]:
    """The truth as H W label indices."""
    if record.mask is None:
        raise BadFile(f"{record.image} has no mask: its split trains on image labels.")
    return card.decode(record.mask.codes(), record.mask)


def classes_in(card: Card, labels: NDArray[np.uint8]) -> tuple[int, ...]:
    """Indices of the classes that have a pixel in H W label indices."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(int(i) for i in np.flatnonzero(counts[: len(card.classes)]))


def load_record(card: Card, record: Record) -> tuple[NDArray[np.uint8], tuple[int, ...], NDArray[np.uint8] | None]:
    """Open one image: its pixels (H W 3), the classes present, and its truth (H W label indices) if it has one."""
    image = record.image.pixels()
    if record.mask is None:
        return image, record.present or (), None
    truth = truth_of(card, record)
    if truth.shape != image.shape[:2]:
        raise BadFile(f"{record.mask} is {_size(truth)} pixels, but {record.image} is {_size(image)}.")
    return image, record.present if record.present is not None else classes_in(card, truth), truth


def _size(array: NDArray[np.generic]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
