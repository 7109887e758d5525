"""Random walk of IRN (Ahn, Cho and Kwak, CVPR 2019): maps spread until a boundary stops them.

The affinity of two pixels within a radius is one minus the highest boundary on the straight path between them, to the
power of beta. The published code makes a dense matrix of all pairs of pixels and squares it eight times. Here the
affinities are one map per direction, and the 256 steps are a sum of Chebyshev polynomials, about a third as many
(Sachdeva and Vishnoi, 2014). The error is below `PRECISION` of the maps' sum. The recursion is computed in double
precision, which takes 1.3 times as long: in single precision it loses digits (2.7e-4 of maps in 0..1).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

PRECISION = 1e-6
Offset = tuple[int, int]


@lru_cache(maxsize=8)
def paths(radius: int) -> tuple[tuple[Offset, ...], ...]:
    """Return the paths (row, column) from a pixel to those within a radius, for one half of the directions.

    The first pixel of a path is its other end; all lie less than one pixel from the straight line.

    Examples:
        >>> [path[0] for path in paths(2)]
        [(0, 1), (1, -1), (1, 0), (1, 1)]
    """
    ahead = [(0, x) for x in range(1, radius)]
    ahead += [(y, x) for y in range(1, radius) for x in range(1 - radius, radius) if x * x + y * y < radius * radius]
    return tuple(_path(end) for end in ahead)


def _path(end: Offset) -> tuple[Offset, ...]:
    rows, columns = range(end[0] + 1), range(min(end[1], 0), max(end[1], 0) + 1)
    length = math.hypot(*end)
    line = [(y, x) for y in rows for x in columns if abs(end[0] * x - end[1] * y) < length]
    return tuple(sorted(line, key=lambda pixel: -abs(pixel[0]) - abs(pixel[1])))


def affinities(edges: Tensor, radius: int) -> Tensor:
    """Return one minus the highest boundary on the path to each pixel ahead: B n h w for B h w boundaries in 0..1.

    Outside the image is boundary. Gradients reach the boundaries.
    """
    height, width = edges.shape[-2:]
    padded = F.pad(edges, (radius, radius, 0, radius), value=1.0)

    def seen(offset: Offset) -> Tensor:
        top, left = offset[0], radius + offset[1]
        return padded[:, top : top + height, left : left + width]

    highest = [torch.stack([seen(offset) for offset in path]).amax(0) for path in paths(radius)]
    return 1 - torch.stack(highest, dim=1)


def random_walk(
    maps: Tensor, edges: Tensor, *, radius: int = 5, beta: float = 10.0, doublings: int = 8, steps: int | None = None
) -> Tensor:
    """Spread maps (B K h w) by a random walk that boundaries (B h w in 0..1) stop.

    Args:
        maps: Maps, not negative; values on a boundary are removed.
        edges: Boundaries.
        radius: Longest step, in pixels.
        beta: Power of the affinities; a higher one stops more at weak boundaries.
        doublings: Base-2 logarithm of the number of steps, as published.
        steps: Number of steps, instead of `doublings`.
    """
    dtype = maps.dtype
    if maps.device.type != "mps":  # which has no double precision
        maps, edges = maps.double(), edges.double()
    walk = _Walk(affinities(edges, radius).pow(beta), [path[0] for path in paths(radius)])
    return walk.run(maps * (1 - edges[:, None]), 2**doublings if steps is None else steps).to(dtype)


class _Walk:
    """Transitions of an image: a step gives every pixel the mean of those around it, weighted by affinity."""

    def __init__(self, weights: Tensor, offsets: list[Offset]) -> None:
        self.weights = weights
        self.offsets = offsets
        ones = torch.ones_like(weights[:, :1])
        self.total = self._spread(ones)

    def run(self, maps: Tensor, steps: int) -> Tensor:
        """Take many steps at once: x**n is a sum of Chebyshev polynomials with binomial probabilities as factors."""
        factors = chebyshev_factors(steps)
        before, now = maps, self._step(maps)
        total = factors[0] * before
        for factor in factors[1:]:
            if factor:
                total.add_(now, alpha=factor)
            before, now = now, 2 * self._step(now) - before
        return total

    def _step(self, maps: Tensor) -> Tensor:
        return self._spread(maps) / self.total

    def _spread(self, maps: Tensor) -> Tensor:
        """Add to every pixel the weighted values of those ahead of it and behind it."""
        out = maps.clone()
        height, width = maps.shape[-2:]
        for k, (down, right) in enumerate(self.offsets):
            left, top = max(0, -right), 0
            here = (..., slice(top, height - down), slice(left, width - max(0, right)))
            there = (..., slice(top + down, height), slice(left + right, width - max(0, right) + right))
            weight = self.weights[:, k : k + 1][here]
            out[here].addcmul_(maps[there], weight)
            out[there].addcmul_(maps[here], weight)
        return out


def chebyshev_factors(steps: int, precision: float = PRECISION) -> list[float]:
    """Return the factor of each Chebyshev polynomial in x**steps, without those that add less than the precision.

    Examples:
        >>> chebyshev_factors(2)
        [0.5, 0.0, 0.5]
    """
    factors = [0.0] * (steps + 1)
    for k in range(steps % 2, steps + 1, 2):
        factors[k] = math.comb(steps, (steps - k) // 2) / 2**steps * (2 if k else 1)
    left = 0.0
    while len(factors) > 1 and left + factors[-1] < precision:
        left += factors.pop()
    return factors
