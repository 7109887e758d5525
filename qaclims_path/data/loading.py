"""Open images, scale them, and group them into batches of equal size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.cams import scaled_size
from qaclims_path.data.card import Card
from qaclims_path.data.record import Record, classes_in, truth_of
from qaclims_path.errors import QaclimsError

TILE_PIXELS = 224 * 224  # unit of the batch size


@dataclass(frozen=True)
class Loaded:
    """One image, opened and scaled.

    Attributes:
        image: Id of the image.
        scales: One picture (H W 3) per scale.
        size: Height and width at scale 1.
        present: Indices of the classes present; empty if labels were not requested.
        unknown: Indices of the classes of which the label says nothing; empty likewise.
    """

    image: str
    scales: tuple[NDArray[np.uint8], ...]
    size: tuple[int, int]
    present: tuple[int, ...]
    unknown: tuple[int, ...] = ()


@dataclass(frozen=True)
class Failed:
    """One image that could not be opened.

    Attributes:
        image: Id of the image.
        why: The error as a sentence.
    """

    image: str
    why: str


class ImageLoader:
    """Opens images and scales them; safe to call from threads.

    Args:
        card: Card of the data set.
        scales: Factors of height and width.
        labels: Whether to return the classes present, which may have to be read from the mask.
    """

    def __init__(self, card: Card, scales: Sequence[float], *, labels: bool) -> None:
        self.card, self.scales, self.labels = card, tuple(scales), labels

    def __call__(self, record: Record) -> Loaded | Failed:
        """Open one image; return an error as `Failed` instead of raising it."""
        try:
            picture = record.image.pixels()
            present = self._present(record) if self.labels else ()
        except QaclimsError as error:
            return Failed(record.id, str(error))
        size = picture.shape[:2]
        unknown = record.unknown if self.labels else ()
        return Loaded(record.id, tuple(scaled(picture, scale) for scale in self.scales), size, present, unknown)

    def _present(self, record: Record) -> tuple[int, ...]:
        return record.present if record.present is not None else classes_in(self.card, truth_of(self.card, record))


def batches(items: Iterable[Loaded], tiles: int) -> Iterator[list[Loaded]]:
    """Group images of equal size into batches, in an order that depends on the images only.

    Args:
        items: Images of any size.
        tiles: Largest number of images of 224 x 224 pixels in a batch; larger images make smaller batches.
    """
    incomplete: dict[tuple[int, int], list[Loaded]] = {}
    for item in items:
        batch = incomplete.setdefault(item.size, [])
        batch.append(item)
        if (len(batch) + 1) * item.size[0] * item.size[1] > tiles * TILE_PIXELS:
            yield incomplete.pop(item.size)
    yield from incomplete.values()


def scaled(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Scale a picture H W 3 as published, with Pillow's bicubic filter on bytes."""
    if scale == 1:
        return picture
    height, width = scaled_size(picture.shape[0], picture.shape[1], scale)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
