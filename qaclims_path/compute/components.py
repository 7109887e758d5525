"""Remove small connected areas and holes of a mask by runs of equal pixels, without labelling every pixel."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def drop_specks(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """Clear the areas of a mask (H W) that have fewer pixels; diagonal neighbours belong together."""
    return _without_small(mask, pixels, of=True)


def fill_holes(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """Fill the holes of a mask (H W) that have fewer pixels.

    Examples:
        >>> fill_holes(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool), 2).all()
        np.True_
    """
    return _without_small(mask, pixels, of=False)


def _without_small(mask: NDArray[np.bool_], pixels: float, *, of: bool) -> NDArray[np.bool_]:
    if pixels <= 1 or mask.size == 0:
        return mask
    runs = np.empty((_count_runs(mask, of), 3), np.int32)
    _fill_runs(mask, of, runs)
    result = mask.copy()
    _flip_small(result, runs, _areas(runs, 1 if of else 0), pixels, not of)
    return result


@njit(cache=True, nogil=True)
def _count_runs(mask: NDArray[np.bool_], of: bool) -> int:  # noqa: FBT001 - numba
    count = 0
    for y in range(mask.shape[0]):
        before = not of
        for x in range(mask.shape[1]):
            count += mask[y, x] == of and before != of
            before = mask[y, x]
    return count


@njit(cache=True, nogil=True)
def _fill_runs(mask: NDArray[np.bool_], of: bool, runs: NDArray[np.int32]) -> None:  # noqa: FBT001 - numba
    """Write row, first column and column after the last of every run, in row order."""
    n = 0
    width = mask.shape[1]
    for y in range(mask.shape[0]):
        x = 0
        while x < width:
            while x < width and mask[y, x] != of:
                x += 1
            if x == width:
                break
            start = x
            while x < width and mask[y, x] == of:
                x += 1
            runs[n, 0], runs[n, 1], runs[n, 2] = y, start, x
            n += 1


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int32], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _areas(runs: NDArray[np.int32], diagonal: int) -> NDArray[np.int64]:
    """Return the pixels of each run's area. Runs touch where they overlap, extended by `diagonal` columns."""
    count = len(runs)
    parent = np.arange(count).astype(np.int32)
    above = 0
    for i in range(count):
        while above < i and (
            runs[above, 0] < runs[i, 0] - 1
            or (runs[above, 0] == runs[i, 0] - 1 and runs[above, 2] + diagonal <= runs[i, 1])
        ):
            above += 1
        j = above
        while j < i and runs[j, 0] == runs[i, 0] - 1 and runs[j, 1] < runs[i, 2] + diagonal:
            a, b = _root(parent, i), _root(parent, j)
            parent[max(a, b)] = min(a, b)
            j += 1
    areas = np.zeros(count, np.int64)
    for i in range(count):
        areas[_root(parent, i)] += runs[i, 2] - runs[i, 1]
    for i in range(count):
        areas[i] = areas[_root(parent, i)]
    return areas


@njit(cache=True, nogil=True)
def _flip_small(
    mask: NDArray[np.bool_],
    runs: NDArray[np.int32],
    areas: NDArray[np.int64],
    pixels: float,
    value: bool,  # noqa: FBT001 - numba
) -> None:
    for i in range(len(runs)):
        if areas[i] < pixels:
            mask[runs[i, 0], runs[i, 1] : runs[i, 2]] = value
