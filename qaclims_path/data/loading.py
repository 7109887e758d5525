"""Open the images of a split in threads, scale them and batch them by size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.cams import scaled_size
from qaclims_path.data.card import Card
from qaclims_path.data.record import Record, classes_in, truth_of
from qaclims_path.errors import QaclimsError

TILE = 224 * 224  # pixels by which the size of a batch is told


@dataclass(frozen=True)
class Loaded:
    """One image, opened and scaled.

    Attributes:
        image: Its name.
        scales: H W 3 pictures, one for each scale.
        size: Height and width at scale 1.
        present: Indices of the classes present, where they are asked for.
    """

    image: str
    scales: tuple[NDArray[np.uint8], ...]
    size: tuple[int, int]
    present: tuple[int, ...]


@dataclass(frozen=True)
class Failed:
    """One image that could not be opened, and why."""

    image: str
    why: str


class ImageLoader:
    """Opens images in threads and scales them as published, with Pillow's bicubic filter on bytes.

    Args:
        card: Of the data set.
        scales: Factors.
        labels: Whether the classes present are needed; in a split with masks only the mask may tell.
    """

    def __init__(self, card: Card, scales: Sequence[float], *, labels: bool) -> None:
        self.card, self.scales, self.labels = card, tuple(scales), labels

    def __call__(self, record: Record) -> Loaded | Failed:
        """Open one image; what is wrong with it is noted, not raised."""
        try:
            picture = record.image.pixels()
            present = self._present(record) if self.labels else ()
        except QaclimsError as error:
            return Failed(record.id, str(error))
        size = picture.shape[:2]
        return Loaded(record.id, tuple(_scaled(picture, scale) for scale in self.scales), size, present)

    def _present(self, record: Record) -> tuple[int, ...]:
        return record.present if record.present is not None else classes_in(self.card, truth_of(self.card, record))


def batches(items: Iterable[Loaded], tiles: int) -> Iterator[list[Loaded]]:
    """Put images of equal size together, in an order that depends on the images only.

    Args:
        items: Of any size.
        tiles: How many images of 224 px make a batch; of larger ones there are fewer.
    """
    waiting: dict[tuple[int, int], list[Loaded]] = {}
    for item in items:
        group = waiting.setdefault(item.size, [])
        group.append(item)
        if (len(group) + 1) * item.size[0] * item.size[1] > tiles * TILE:
            yield waiting.pop(item.size)
    yield from waiting.values()


def _scaled(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return picture
    height, width = scaled_size(picture.shape[0], picture.shape[1], scale)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
