"""What a boundary network learns from: which pairs of pixels have the same label (IRN, CVPR 2019)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.refiners.walk import affinities, paths

IGNORED = 255
TINY = 1e-5


class Pairs(NamedTuple):
    """Pairs of a pixel and one ahead of it, B n h w, bool; a pair that is in doubt is in none of them.

    Attributes:
        background: Both are background.
        foreground: Both are of one class.
        different: They are of different labels.
    """

    background: Tensor
    foreground: Tensor
    different: Tensor


def pairs_of(labels: Tensor, background: int, radius: int) -> Pairs:
    """Compare every pixel with those ahead of it within a radius.

    Args:
        labels: B h w, uint8 label indices; 255 is in doubt.
        background: Index of background.
        radius: In pixels of the labels.
    """
    height, width = labels.shape[-2:]
    padded = F.pad(labels, (radius, radius, 0, radius), value=IGNORED)
    ends = [path[0] for path in paths(radius)]
    ahead = torch.stack([padded[:, y : y + height, radius + x : radius + x + width] for y, x in ends], dim=1)
    here = labels[:, None]
    known, same = (here != IGNORED) & (ahead != IGNORED), here == ahead
    return Pairs(known & same & (here == background), known & same & (here != background), known & ~same)


def boundary_loss(edges: Tensor, pairs: Pairs, radius: int) -> dict[str, Tensor]:
    """Losses of B h w boundaries in 0..1: no boundary between pixels of one label, one between those of two.

    Each kind of pair counts the same, however many there are: a quarter for pairs of background, a quarter for pairs of
    one class, half for those that differ, as published. Where labels know no background, pairs of a class take its
    quarter over.
    """
    affinity = affinities(edges, radius)
    alike, apart = -(affinity + TINY).log(), -(1 + TINY - affinity).log()
    background, foreground = _mean(alike, pairs.background), _mean(alike, pairs.foreground)
    different = _mean(apart, pairs.different)
    share = pairs.background.any().to(edges.dtype) / 4
    loss = share * background + (0.5 - share) * foreground + different / 2
    return {"loss": loss, "background": background, "foreground": foreground, "different": different}


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen values; zero when there are none."""
    return (values * chosen).sum() / (chosen.sum() + TINY)
