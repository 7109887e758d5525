"""What a judge is shown of a tile: no glass, and a window at the magnification that it was trained at."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.tissue import GLASS_BRIGHT, GLASS_CHROMA

WHITE = 1.0
# Steps that fill a range evenly without being drawn; one for each choice, so that every place is seen from all sides.
DOWN, ACROSS, TURN = 0.8191725133961645, 0.5698402909980532, 0.7548776662466927


def tissue_share(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Share of tissue in every cell of a map: what is not bright grey.

    Args:
        images: B 3 H W in 0..1.
        size: Height and width of the map.

    Returns:
        B h w in 0..1.
    """
    brightest, darkest = images.amax(1), images.amin(1)
    tissue = (brightest - darkest > GLASS_CHROMA) | (brightest < GLASS_BRIGHT)
    return F.adaptive_avg_pool2d(tissue[:, None].float(), size)[:, 0]


def pooled(maps: Tensor, share: Tensor | None) -> Tensor:
    """Mean over the pixels (B C) of maps (B C h w), weighted by their share of tissue (B h w) where it is given.

    A tile without tissue scores zero for every class.
    """
    if share is None:
        return maps.mean((-2, -1))
    weights = share[:, None].to(maps.dtype)
    return (maps * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1e-3)


def corner(room: int, step: int, pace: float) -> int:
    """Where a window starts, 0..room: another place at every step, evenly over all of them."""
    return min(int(math.modf((step + 1) * pace)[0] * (room + 1)), room)


def window(values: Tensor, side: int, step: int, fill: float) -> Tensor:
    """Cut a square of `side` pixels out of N C H W, or put the picture in the middle of one that is larger.

    Args:
        values: Pictures of one size.
        side: Of the window in pixels.
        step: Decides the place; the same for all pictures, so that maps follow their images.
        fill: Value of what the picture does not cover.
    """
    height, width = values.shape[-2:]
    top, left = corner(max(height - side, 0), step, DOWN), corner(max(width - side, 0), step, ACROSS)
    cut = values[..., top : top + side, left : left + side]
    up, before = (max(side - length, 0) // 2 for length in (height, width))
    down, behind = side - cut.shape[-2] - up, side - cut.shape[-1] - before
    return F.pad(cut, (before, behind, up, down), value=fill) if up + down + before + behind else cut


def turned(values: Tensor, step: int) -> Tensor:
    """Turn or mirror squares (... S S), in one of eight ways that come evenly with the steps.

    A network can prefer what lies at the top to what lies at the bottom, and maps would follow it there; when it is
    shown everything from all sides, such preferences cancel out.
    """
    way = corner(7, step, TURN)
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if way & bit]
    flipped = values.flip(axes) if axes else values
    return flipped.transpose(-1, -2) if way & 4 else flipped


def centred(vectors: Tensor, mean: Tensor) -> Tensor:
    """Unit vectors without what they have in common: where all cosines are near one, differences show."""
    return F.normalize(vectors - mean.to(vectors.dtype), dim=-1)


def mean_vector(vectors: Tensor) -> Tensor:
    """What unit vectors N D have in common; nothing, where there are fewer than two."""
    return vectors.mean(0) if len(vectors) > 1 else torch.zeros_like(vectors[0])
