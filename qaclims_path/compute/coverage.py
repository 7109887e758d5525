"""The exact area that polygons cover of every cell of a lattice, in one walk along their edges.

An edge that rises through a row of cells adds everything to its right, an edge that falls subtracts it; the sum along
the row is the inside. Lines of the lattice may be unevenly spaced.
"""

from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ring = NDArray[np.float64]


def covered_area(
    polygons: Iterable[tuple[Ring, list[Ring]]], xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the area of every cell (len(ys) - 1, len(xs) - 1) that polygons cover.

    Args:
        polygons: Outer ring and holes of each, as points (P 2: x, y), the first repeated at the end. Where polygons
            overlap, the area counts twice.
        xs: Increasing x of the lattice's lines; area outside them is not counted.
        ys: Increasing y of its lines.

    Examples:
        >>> triangle = np.array([[0, 0], [2, 0], [0, 2], [0, 0]], float)
        >>> covered_area([(triangle, [])], np.arange(3.0), np.arange(3.0)).tolist()
        [[1.0, 0.5], [0.5, 0.0]]
    """
    inside = np.zeros((len(ys) - 1, len(xs) - 1))
    beyond = np.zeros((len(ys) - 1, len(xs)))
    for outer, holes in polygons:
        _trace(outer, _turn(outer), xs, ys, inside, beyond)
        for hole in holes:
            _trace(hole, -_turn(hole), xs, ys, inside, beyond)
    return inside + np.cumsum(beyond[:, :-1], axis=1) * np.diff(xs)


def _turn(ring: Ring) -> float:
    """Return the sign that makes the area of a ring positive."""
    x, y = (ring - ring[0]).T
    return 1.0 if np.dot(x[:-1], y[1:]) >= np.dot(x[1:], y[:-1]) else -1.0


@njit(cache=True, nogil=True)
def _trace(
    ring: Ring,
    sign: float,
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    inside: NDArray[np.float64],
    beyond: NDArray[np.float64],
) -> None:
    """Cut every edge at the rows of the lattice, and add the area to the right of each piece."""
    for i in range(len(ring) - 1):
        xa, ya, xb, yb = ring[i, 0], ring[i, 1], ring[i + 1, 0], ring[i + 1, 1]
        if ya == yb:
            continue
        way = -sign  # with x to the right and positive area, the edges on the left side run towards smaller y
        if ya > yb:
            xa, ya, xb, yb, way = xb, yb, xa, ya, sign
        top, bottom = max(ya, ys[0]), min(yb, ys[-1])
        row = max(int(np.searchsorted(ys, top, side="right")) - 1, 0)
        slope = (xb - xa) / (yb - ya)
        while row < len(ys) - 1 and ys[row] < bottom:
            y0, y1 = max(top, ys[row]), min(bottom, ys[row + 1])
            x0, x1 = xa + (y0 - ya) * slope, xa + (y1 - ya) * slope
            _cover(min(x0, x1), max(x0, x1), way * (y1 - y0), xs, inside[row], beyond[row])
            row += 1


@njit(cache=True, nogil=True)
def _cover(
    left: float,
    right: float,
    height: float,
    xs: NDArray[np.float64],
    inside: NDArray[np.float64],
    beyond: NDArray[np.float64],
) -> None:
    """Cut one piece within a row at the columns; each part covers some of its own cell and all cells to the right."""
    if left < xs[0]:
        share = (min(right, xs[0]) - left) / (right - left) if right > left else 1.0
        beyond[0] += height * share
    column = max(int(np.searchsorted(xs, left, side="right")) - 1, 0)
    while column < len(xs) - 1 and (xs[column] < right or xs[column] <= left):
        x0, x1 = max(left, xs[column]), min(right, xs[column + 1])
        if x1 < x0:
            break
        bit = height * ((x1 - x0) / (right - left)) if right > left else height
        inside[column] += bit * (xs[column + 1] - 0.5 * (x0 + x1))
        beyond[column + 1] += bit
        if right == left:
            break
        column += 1
