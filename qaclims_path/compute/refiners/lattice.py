"""Gaussian filtering of many labels in many dimensions on a permutohedral lattice (Adams, Baek and Davis, 2010).

Values of points are added to the corners of their simplex (splat), the corners are blurred along each direction of the
lattice, and points read their corners (collect). The lattice depends only on the points, so it is built once for any
number of labels and rounds.

Two things make it fast. A corner's key is one packed integer, so that the key of a neighbour is one addition. And
corners that follow each other along a direction are stored as chains, so that a blur runs along chains in place, visits
every corner once, and skips corners without neighbours.

Values are blocks of four labels, S x (corners + 1) x 4: one step of a processor's vector unit. The last row stands for
a missing neighbour and stays zero.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.errors import QaclimsError

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

LANES = 4
MAX_KEY = 2.0**62
FIRST_TABLE = 1 << 12
HASH = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads neighbouring keys


class Lattice(NamedTuple):
    """N points of d dimensions between M corners.

    Attributes:
        corners: N d+1, rows of the values.
        weights: N d+1, weight between a point and each of its corners.
        chains: Rows of corners that follow each other, direction by direction; M ends a chain.
        size: Number of corners M.
    """

    corners: I32
    weights: F32
    chains: I32
    size: int


def build_lattice(points: F32) -> Lattice:
    """Build the lattice of points (N d) whose coordinates are divided by the standard deviations of the filter.

    Examples:
        >>> build_lattice(np.zeros((1, 2), np.float32)).size
        3
    """
    if not np.isfinite(points).all():
        raise QaclimsError("The lattice of a filter needs finite coordinates. Look for NaN in the image.")
    steps = _steps(points.shape[1])
    strides = _strides(points, steps)
    ahead = strides.sum() - len(strides) * strides  # from a corner's key to its neighbour's, along each direction
    corners, weights, keys, table = _corners(np.ascontiguousarray(points), steps, strides, ahead)
    return Lattice(corners, weights, _chains(keys, table, ahead), len(keys))


@njit(cache=True, nogil=True)
def empty_values(lattice: Lattice, blocks: int) -> F32:
    """Return zeros for the values of `blocks` times four labels."""
    return np.zeros((blocks, lattice.size + 1, LANES), np.float32)


def normalised(lattice: Lattice, gain: float) -> Lattice:
    """Scale the weights so that the filter's matrix is divided by the roots of its row sums on both sides.

    Args:
        lattice: Result of `build_lattice`.
        gain: Factor of the filter.
    """
    ones = np.zeros((LANES, len(lattice.weights)), np.float32)
    ones[0] = 1
    values = empty_values(lattice, 1)
    splat(ones, 0, ones.shape[1], lattice, values)
    blur(values, lattice)
    ones[:] = 0
    collect(ones, 0, ones.shape[1], lattice, values)
    root = np.sqrt(np.float32(gain) / np.maximum(ones[0], np.float32(1e-20)))
    return lattice._replace(weights=lattice.weights * root[:, None])


def _steps(dimensions: int) -> F32:
    """Return the scale of each coordinate (d) that gives the complete filter a standard deviation of one."""
    one = np.arange(1, dimensions + 1)
    steps: F32 = (math.sqrt(2 / 3) * (dimensions + 1) / np.sqrt(one * (one + 1))).astype(np.float32)
    return steps


def _strides(points: F32, steps: F32) -> I64:
    """Return the factor of each coordinate (d+1) in a packed key; 0 for the last, which the others determine."""
    extent = np.ptp(points, axis=0).astype(np.float64) * steps if len(points) else np.zeros(len(steps))
    one = np.arange(len(steps))
    width = np.cumsum(extent[::-1])[::-1] + one * np.concatenate([[0.0], extent[:-1]])
    width = np.ceil(width) + 8 * (len(steps) + 1)  # room for rounding, the corners of a simplex, and their neighbours
    if np.prod(width) > MAX_KEY:
        raise QaclimsError("The image is too large for a filter this narrow. Use a larger standard deviation.")
    return np.concatenate([[1], np.cumprod(width[:-1]), [0]]).astype(np.int64)


@njit(cache=True, nogil=True)
def _slot(table: I64, key: np.int64) -> np.int64:
    """Return the slot of a key in the hash table (size 2: key and corner, -1 for none), or the free slot for it."""
    last = len(table) - 1
    slot = np.int64((np.uint64(key) * HASH) >> np.uint64(20)) & last
    while table[slot, 1] >= 0 and table[slot, 0] != key:
        slot = (slot + 1) & last
    return slot


@njit(cache=True, nogil=True)
def _table(keys: I64, size: int) -> I64:
    """Return a hash table of keys; its size is a power of two."""
    table = np.full((size, 2), -1, np.int64)
    for corner in range(len(keys)):
        slot = _slot(table, keys[corner])
        table[slot, 0], table[slot, 1] = keys[corner], corner
    return table


@njit(cache=True, nogil=True)
def _simplex(point: F32, steps: F32, base: I32, rank: I32, rest: F32, share: F32) -> None:
    """Find the simplex around a point.

    Args:
        point: d.
        steps: d.
        base: d+1, receives the lattice coordinates of its first corner.
        rank: d+1, receives the order of the remainders, the largest first.
        rest: d+1, receives the remainders.
        share: d+2, receives the weights of the corners (d+1).
    """
    d = len(point)
    above, excess, shrink = np.float32(0), np.int32(0), np.float32(1 / (d + 1))
    for i in range(d, -1, -1):  # project onto the plane whose coordinates add up to zero
        step = point[i - 1] * steps[i - 1] if i else np.float32(0)
        coordinate = above - np.float32(i) * step
        above += step
        nearest = np.int32(math.floor(coordinate * shrink + np.float32(0.5)))
        base[i], rest[i], rank[i] = nearest * (d + 1), coordinate - np.float32(nearest * (d + 1)), 0
        excess += nearest
    for i in range(d):
        for j in range(i + 1, d + 1):
            less = np.int32(rest[i] < rest[j])
            rank[i] += less
            rank[j] += 1 - less
    share[:] = 0
    for i in range(d + 1):  # return to the plane after rounding
        rank[i] += excess
        turn = np.int32(rank[i] < 0) - np.int32(rank[i] > d)
        rank[i] += turn * (d + 1)
        base[i] += turn * (d + 1)
        part = (rest[i] - np.float32(turn * (d + 1))) * shrink
        share[d - rank[i]] += part
        share[d + 1 - rank[i]] -= part
    share[0] += np.float32(1) + share[d + 1]


@njit(cache=True, nogil=True)
def _corners(points: F32, steps: F32, strides: I64, ahead: I64) -> tuple[I32, F32, I64, I64]:
    """Return corners and weights of all points, the keys of the corners (M), and their hash table."""
    n, d = points.shape
    corners, weights = np.empty((n, d + 1), np.int32), np.empty((n, d + 1), np.float32)
    base, rank, order = np.empty(d + 1, np.int32), np.empty(d + 1, np.int32), np.empty(d + 1, np.int32)
    rest, share = np.empty(d + 1, np.float32), np.empty(d + 2, np.float32)
    keys, count = np.empty(n * (d + 1), np.int64), 0
    table = _table(keys[:0], FIRST_TABLE)
    for p in range(n):
        if 2 * (count + d + 1) > len(table):
            table = _table(keys[:count], 2 * len(table))
        _simplex(points[p], steps, base, rank, rest, share)
        key = np.int64(0)
        for i in range(d + 1):
            order[d - rank[i]] = i
            key += strides[i] * base[i]
        for k in range(d + 1):
            slot = _slot(table, key)
            if table[slot, 1] < 0:
                table[slot, 0], table[slot, 1], keys[count] = key, count, key
                count += 1
            corners[p, k], weights[p, k] = table[slot, 1], share[k]
            key += ahead[order[k]]
    return corners, weights, keys[:count], table


@njit(cache=True, nogil=True)
def _chains(keys: I64, table: I64, ahead: I64) -> I32:
    """Return chains of corners that follow each other along each of the d+1 directions."""
    count = len(keys)
    chains, length = np.empty(2 * count * len(ahead) + 1, np.int32), 0
    following, followed = np.empty(count, np.int32), np.empty(count, np.bool_)
    for step in ahead:
        followed[:] = False
        for m in range(count):
            other = np.int32(table[_slot(table, keys[m] + step), 1])
            following[m] = other
            if other >= 0:
                followed[other] = True
        for m in range(count):
            if not followed[m] and following[m] >= 0:
                corner = np.int32(m)
                while corner >= 0:
                    chains[length] = corner
                    length += 1
                    corner = following[corner]
                chains[length] = count
                length += 1
    chains[length] = count
    return chains[: length + 1]


@njit(cache=True, nogil=True, fastmath=True)
def splat(labels: F32, first: int, last: int, lattice: Lattice, values: F32) -> None:
    """Add points to their corners.

    Args:
        labels: K N, K a multiple of four.
        first: Index of the first point.
        last: Index after the last point.
        lattice: Lattice of all points.
        values: K/4 M+1 4.
    """
    corners, weights = lattice.corners, lattice.weights
    for s in range(len(values)):
        a, b, c, d = labels[4 * s], labels[4 * s + 1], labels[4 * s + 2], labels[4 * s + 3]
        block = values[s]
        for i in range(first, last):
            for k in range(corners.shape[1]):
                row, weight = corners[i, k], weights[i, k]
                block[row, 0] += weight * a[i]
                block[row, 1] += weight * b[i]
                block[row, 2] += weight * c[i]
                block[row, 3] += weight * d[i]


@njit(cache=True, nogil=True, fastmath=True)
def collect(labels: F32, first: int, last: int, lattice: Lattice, values: F32) -> None:
    """Add to points (K N) the values of their corners; arguments as for `splat`."""
    corners, weights = lattice.corners, lattice.weights
    for s in range(len(values)):
        block = values[s]
        for i in range(first, last):
            a = b = c = d = np.float32(0)
            for k in range(corners.shape[1]):
                row, weight = corners[i, k], weights[i, k]
                a += weight * block[row, 0]
                b += weight * block[row, 1]
                c += weight * block[row, 2]
                d += weight * block[row, 3]
            labels[4 * s, i] += a
            labels[4 * s + 1, i] += b
            labels[4 * s + 2, i] += c
            labels[4 * s + 3, i] += d


@njit(cache=True, nogil=True, fastmath=True)
def blur(values: F32, lattice: Lattice) -> None:
    """Blur the corners in place with weights 1/2, 1, 1/2, direction by direction."""
    chains, none = lattice.chains, lattice.size
    half = np.float32(0.5)
    for s in range(len(values)):
        block = values[s]
        before0 = before1 = before2 = before3 = np.float32(0)
        corner = chains[0]
        a, b, c, d = block[corner, 0], block[corner, 1], block[corner, 2], block[corner, 3]
        for e in range(len(chains) - 1):
            after = chains[e + 1]
            a1, b1, c1, d1 = block[after, 0], block[after, 1], block[after, 2], block[after, 3]
            if corner != none:
                block[corner, 0] = a + half * (before0 + a1)
                block[corner, 1] = b + half * (before1 + b1)
                block[corner, 2] = c + half * (before2 + c1)
                block[corner, 3] = d + half * (before3 + d1)
            before0, before1, before2, before3 = a, b, c, d
            a, b, c, d, corner = a1, b1, c1, d1, after
