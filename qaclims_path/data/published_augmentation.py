"""Augmentation as published by CLIMS and QA-CLIMS: scale the longer side, flip, crop or pad to a square."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import RandFlipd
from monai.transforms.transform import MapTransform, RandomizableTransform
from torch.nn import functional as F

Item = Mapping[Hashable, Any]


class RandLongSided(RandomizableTransform, MapTransform):
    """Scale a 3 H W picture so that its longer side has a random length within limits, both inclusive."""

    def __init__(self, keys: KeysCollection, limits: tuple[int, int], *, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self)
        self.limits = limits

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Draw one length for all keys."""
        item = dict(data)
        long = int(self.R.randint(self.limits[0], self.limits[1] + 1))
        for key in self.key_iterator(item):
            factor = long / max(item[key].shape[-2:])
            size = [max(1, round(side * factor)) for side in item[key].shape[-2:]]
            item[key] = F.interpolate(item[key][None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        return item


class RandCropOrPadd(RandomizableTransform, MapTransform):
    """Crop a random square from a 3 H W picture, or pad a smaller picture at a random position with one colour."""

    def __init__(
        self, keys: KeysCollection, size: int, fill: tuple[float, ...], *, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self)
        self.size = size
        self.fill = torch.tensor(fill)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Draw one position for all keys."""
        item = dict(data)
        draws = self.R.uniform(size=2)
        for key in self.key_iterator(item):
            picture = item[key]
            spans = [_span(side, self.size, draw) for side, draw in zip(picture.shape[-2:], draws, strict=True)]
            (source_y, target_y, rows), (source_x, target_x, columns) = spans
            square = self.fill[:, None, None].expand(3, self.size, self.size).contiguous()
            square[:, target_y : target_y + rows, target_x : target_x + columns] = picture[
                :, source_y : source_y + rows, source_x : source_x + columns
            ]
            item[key] = square
        return item


def published_augmentation(size: int, seed: int, long: tuple[int, int], fill: tuple[float, ...]) -> Compose:
    """Scale the longer side, flip horizontally, and crop or pad to a square, as CLIMS and QA-CLIMS do.

    Args:
        size: Side of the square in pixels.
        seed: Equal seeds give equal results.
        long: Smallest and largest length of the longer side in pixels.
        fill: Colour of padding in 0..1; the published zero after normalisation is the mean colour.
    """
    steps = [
        RandLongSided("image", long),
        RandFlipd("image", prob=0.5, spatial_axis=1),
        RandCropOrPadd("image", size, fill),
    ]
    return Compose(steps).set_random_state(seed=seed)


def _span(side: int, size: int, draw: float) -> tuple[int, int, int]:
    """First pixel to read, first pixel to write, and number of pixels along one axis."""
    offset = int(draw * (abs(side - size) + 1))
    return (offset, 0, size) if side > size else (0, offset, side)
