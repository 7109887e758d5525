"""Targets and losses of a boundary network: pairs of pixels with equal or different labels (IRN, CVPR 2019)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.refiners.walk import affinities, paths

IGNORED = 255
TINY = 1e-5


class Pairs(NamedTuple):
    """Pairs of a pixel and one ahead of it, B n h w, bool; a pair with an unknown label is in none.

    Attributes:
        background: Both are background.
        foreground: Both are of one class.
        different: They are of different labels.
    """

    background: Tensor
    foreground: Tensor
    different: Tensor


def pairs_of(labels: Tensor, background: int, radius: int, *, inside: bool = False) -> Pairs:
    """Compare every pixel with the pixels ahead of it within a radius.

    Args:
        labels: B h w, uint8 label indices; 255 is unknown.
        background: Index of background.
        radius: Radius in pixels of the labels.
        inside: Leave out pixels near the border, some of whose neighbours are outside, as the released loss does.
    """
    height, width = labels.shape[-2:]
    padded = F.pad(labels, (radius, radius, 0, radius), value=IGNORED)
    ends = [path[0] for path in paths(radius)]
    ahead = torch.stack([padded[:, y : y + height, radius + x : radius + x + width] for y, x in ends], dim=1)
    here = labels[:, None]
    known, same = (here != IGNORED) & (ahead != IGNORED), here == ahead
    if inside:
        known = known & _far_inside(labels, radius - 1)  # no neighbour is further than that in a row or a column
    return Pairs(known & same & (here == background), known & same & (here != background), known & ~same)


def boundary_loss(edges: Tensor, pairs: Pairs, radius: int) -> dict[str, Tensor]:
    """Return losses of B h w boundaries in 0..1: low between pixels of equal labels, high between different ones.

    The kinds of pairs have fixed weights, whatever their numbers, as published: a quarter for pairs of background, a
    quarter for pairs of one class, half for different labels. Without background, pairs of one class get its quarter.
    """
    affinity = affinities(edges, radius)
    alike, apart = -(affinity + TINY).log(), -(1 + TINY - affinity).log()
    background, foreground = _mean(alike, pairs.background), _mean(alike, pairs.foreground)
    different = _mean(apart, pairs.different)
    share = pairs.background.any().to(edges.dtype) / 4
    loss = share * background + (0.5 - share) * foreground + different / 2
    return {"loss": loss, "background": background, "foreground": foreground, "different": different}


def _far_inside(labels: Tensor, margin: int) -> Tensor:
    """Mark pixels (h w, bool) with `margin` others below, on the left and on the right."""
    height, width = labels.shape[-2:]
    found = torch.zeros(height, width, dtype=torch.bool, device=labels.device)
    found[: max(height - margin, 0), margin : max(width - margin, 0)] = True
    return found


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean over the chosen values; zero without any."""
    return (values * chosen).sum() / (chosen.sum() + TINY)
