"""Views of a tile for a judge: weighted by tissue, and a window at the magnification of the judge's training."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.tissue import GLASS_BRIGHT, GLASS_CHROMA

WHITE = 1.0
# Steps that cover 0..1 evenly without random draws; independent of each other, so that all combinations occur.
DOWN, ACROSS, TURN = 0.8191725133961645, 0.5698402909980532, 0.7548776662466927


def tissue_share(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the share of tissue (pixels that are not bright grey) in every cell of a map.

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
    """Return the mean over pixels (B C) of maps (B C h w), weighted by their share of tissue (B h w) unless None.

    A tile without tissue scores zero for every class.
    """
    if share is None:
        return maps.mean((-2, -1))
    weights = share[:, None].to(maps.dtype)
    return (maps * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1e-3)


def corner(room: int, step: int, pace: float) -> int:
    """Return the start of a window in 0..room for a step; over many steps all starts are equally frequent."""
    return min(int(math.modf((step + 1) * pace)[0] * (room + 1)), room)


def window(values: Tensor, side: int, step: int, fill: float) -> Tensor:
    """Crop a square of `side` pixels out of N C H W, or centre a smaller image in it.

    Args:
        values: Images or maps of one size.
        side: Side of the window in pixels.
        step: Decides the position, the same for all, so that maps match their images.
        fill: Value outside the image.
    """
    height, width = values.shape[-2:]
    top, left = corner(max(height - side, 0), step, DOWN), corner(max(width - side, 0), step, ACROSS)
    cut = values[..., top : top + side, left : left + side]
    up, before = (max(side - length, 0) // 2 for length in (height, width))
    down, behind = side - cut.shape[-2] - up, side - cut.shape[-1] - before
    return F.pad(cut, (before, behind, up, down), value=fill) if up + down + before + behind else cut


def turned(values: Tensor, step: int) -> Tensor:
    """Rotate or mirror squares (... S S) in one of eight ways, equally frequent over many steps.

    A network may score a pattern higher at the top than at the bottom, and maps would follow. Over all eight
    orientations such preferences cancel out.
    """
    way = corner(7, step, TURN)
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if way & bit]
    flipped = values.flip(axes) if axes else values
    return flipped.transpose(-1, -2) if way & 4 else flipped


def centred(vectors: Tensor, mean: Tensor) -> Tensor:
    """Subtract the mean from vectors and scale them to length 1, so that cosines near one spread out."""
    return F.normalize(vectors - mean.to(vectors.dtype), dim=-1)


def mean_vector(vectors: Tensor) -> Tensor:
    """Return the mean of vectors (N D); zeros for fewer than two."""
    return vectors.mean(0) if len(vectors) > 1 else torch.zeros_like(vectors[0])
