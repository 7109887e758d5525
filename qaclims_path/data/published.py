"""The augmentation of the published trainings: scale the longer side, flip, and cut or place a square."""

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
    """Scale a 3 H W picture so that its longer side has a random length, both limits included."""

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


class RandPlaced(RandomizableTransform, MapTransform):
    """Cut a random square out of a 3 H W picture, or place a smaller one anywhere in it on a plain colour."""

    def __init__(
        self, keys: KeysCollection, size: int, fill: tuple[float, ...], *, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self)
        self.size = size
        self.fill = torch.tensor(fill)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Draw one place for all keys."""
        item = dict(data)
        draws = self.R.uniform(size=2)
        for key in self.key_iterator(item):
            picture = item[key]
            spans = [_span(side, self.size, draw) for side, draw in zip(picture.shape[-2:], draws, strict=True)]
            (from_y, to_y, rows), (from_x, to_x, columns) = spans
            square = self.fill[:, None, None].expand(3, self.size, self.size).contiguous()
            square[:, to_y : to_y + rows, to_x : to_x + columns] = picture[
                :, from_y : from_y + rows, from_x : from_x + columns
            ]
            item[key] = square
        return item


def published_augmentation(size: int, seed: int, long: tuple[int, int], fill: tuple[float, ...]) -> Compose:
    """Scale the longer side, flip from left to right, and cut or place a square, as CLIMS and QA-CLIMS do.

    Args:
        size: Side of the square in pixels.
        seed: Equal seeds give equal results.
        long: Smallest and largest length of the longer side.
        fill: Colour where the picture is not, in 0..1; the published zero after normalisation is the mean colour.
    """
    steps = [
        RandLongSided("image", long),
        RandFlipd("image", prob=0.5, spatial_axis=1),
        RandPlaced("image", size, fill),
    ]
    return Compose(steps).set_random_state(seed=seed)


def _span(side: int, size: int, draw: float) -> tuple[int, int, int]:
    """Where to read, where to write, and how much, along one axis."""
    free = int(draw * (abs(side - size) + 1))
    return (free, 0, size) if side > size else (0, free, side)
