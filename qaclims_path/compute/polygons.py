"""Outlines of a class map: exact along the edges of pixels, then simplified within a tolerance.

Coordinates are corners of pixels: the pixel in column x and row y reaches from (x, y) to (x + 1, y + 1). The class lies
always on the same side of its outline, so that outer rings have a positive area and holes a negative one (x to the
right, y up: the right-hand rule of GeoJSON). Neighbouring classes have the same corners along their common border,
before and after simplification.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.errors import UsageError

NONE = 255  # code of pixels that are not outlined
Corners = NDArray[np.int32]


@dataclass(frozen=True)
class Rings:
    """Closed outlines, one after another; none touches itself.

    Attributes:
        corners: N 2, (x, y) of every corner; the last of a ring is not the first again.
        fixed: N, corners that every simplification keeps, such as those where more than two classes meet.
        starts: R + 1, index of the first corner of each ring, and N.
        codes: R, class of each ring.
        areas: R, enclosed pixels; negative for holes.
    """

    corners: Corners
    fixed: NDArray[np.bool_]
    starts: NDArray[np.int64]
    codes: NDArray[np.uint8]
    areas: NDArray[np.int64]

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the ring of each corner (N)."""
        return np.repeat(np.arange(len(self.codes)), np.diff(self.starts))

    def keep(self, keep: NDArray[np.bool_]) -> "Rings":
        """Keep some of the corners (N); the areas stay those of all corners."""
        starts = np.concatenate([[0], np.cumsum(keep)])[self.starts]
        return replace(self, corners=self.corners[keep], fixed=self.fixed[keep], starts=starts)

    @property
    def following(self) -> NDArray[np.int64]:
        """Index of the next corner of the same ring (N)."""
        return _following(self.starts)

    def select(self, rings: NDArray[np.bool_]) -> "Rings":
        """Keep some of the rings (R)."""
        of_corners = rings[self.owner]
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[rings])])
        return Rings(self.corners[of_corners], self.fixed[of_corners], starts, self.codes[rings], self.areas[rings])


def trace(codes: NDArray[np.uint8], wanted: Collection[int]) -> Rings:
    """Outline the areas of the wanted codes in a class map (H W); pixels that share only a corner are not joined.

    Examples:
        >>> rings = trace(np.array([[0, 0], [0, 1]], np.uint8), [1])
        >>> rings.corners.tolist(), rings.areas.tolist()
        ([[2, 1], [2, 2], [1, 2], [1, 1]], [1])
    """
    if any(not 0 <= code < NONE for code in wanted):
        raise UsageError(f"Areas of the codes {sorted(wanted)} cannot be outlined; codes are 0 to {NONE - 1}.")
    table = np.full(256, NONE, np.uint8)
    table[list(wanted)] = list(wanted)
    framed = np.full((codes.shape[0] + 2, codes.shape[1] + 2), NONE, np.uint8)
    for row, line in enumerate(codes, start=1):  # row by row: an index takes eight times the memory of the codes
        framed[row, 1:-1] = table[line]
    corners, fixed, starts, ring_codes = _walk(framed)
    owner = np.repeat(np.arange(len(ring_codes)), np.diff(starts))
    order, starts = _loops(_successors(corners, fixed, starts, owner, codes.shape[1] + 1))
    corners, fixed = corners[order], fixed[order]
    return Rings(corners, fixed, starts, ring_codes[owner[order[starts[:-1]]]], _areas(corners, starts))


def corners_to_keep(rings: Rings, tolerance: float) -> NDArray[np.bool_]:
    """Choose corners (N) such that no outline moves by more than `tolerance` pixels without the others.

    Where an area is narrower than the tolerance, its ring may keep fewer than three corners, or cross another: fix some
    of the corners that were left out (`with_fixed`) and choose again.
    """
    keep = np.zeros(len(rings.corners), np.bool_)
    _simplify(rings.corners, rings.fixed, rings.starts, tolerance * tolerance, keep)
    return keep


def with_fixed(rings: Rings, corners: NDArray[np.bool_]) -> Rings:
    """Fix more corners (N), in every ring that passes them."""
    keys = rings.corners[:, 1].astype(np.int64) << 32 | rings.corners[:, 0]
    return replace(rings, fixed=rings.fixed | np.isin(keys, keys[corners]))


def _successors(
    corners: Corners, fixed: NDArray[np.bool_], starts: NDArray[np.int64], owner: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return the next corner of each. Rings that pass a corner twice are split there, by exchanging the two."""
    following = _following(starts)
    numbers = np.flatnonzero(fixed)
    positions = corners[numbers, 1].astype(np.int64) * width + corners[numbers, 0]
    order = np.lexsort((positions, owner[numbers]))
    numbers, positions = numbers[order], positions[order]
    twice = (positions[1:] == positions[:-1]) & (owner[numbers[1:]] == owner[numbers[:-1]])
    first, second = numbers[:-1][twice], numbers[1:][twice]
    following[first], following[second] = following[second], following[first]
    return following


def _following(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the next corner of the same ring; no ring is empty."""
    numbers = np.arange(1, starts[-1] + 1)
    numbers[starts[1:] - 1] = starts[:-1]
    return numbers


def _areas(corners: Corners, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(starts) < 2:
        return np.zeros(0, np.int64)
    x, y = corners.astype(np.int64).T
    areas: NDArray[np.int64] = np.add.reduceat(x * (y[_following(starts)] - y), starts[:-1])
    return areas


@njit(cache=True)
def _walk(codes: NDArray[np.uint8]):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Follow every outline of a map with a border of `NONE`; the class lies on the right, as seen on the screen.

    Steps: 0 right, 1 down, 2 left, 3 up. Only steps to the right are marked as done: every ring has one.
    """
    height, width = codes.shape
    done = np.zeros((height, width), np.bool_)
    corners = np.empty((1024, 2), np.int32)
    fixed = np.empty(1024, np.bool_)
    starts = [0]
    ring_codes = [np.uint8(0)]
    ring_codes.pop()
    step_x, step_y = (1, 0, -1, 0), (0, 1, 0, -1)
    count = 0
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            code = codes[row, column]
            if code == NONE or codes[row - 1, column] == code or done[row, column]:
                continue
            x, y, step = column, row, 0
            while True:
                if step == 0:
                    done[y, x] = True
                x, y = x + step_x[step], y + step_y[step]
                turn, meeting = _corner(codes, x, y, step, code)
                if turn != 0 or meeting:
                    if count == len(fixed):
                        corners = np.concatenate((corners, np.empty_like(corners)))
                        fixed = np.concatenate((fixed, np.empty_like(fixed)))
                    corners[count, 0], corners[count, 1], fixed[count] = x - 1, y - 1, meeting
                    count += 1
                step = (step + turn) % 4
                if x == column and y == row and step == 0:
                    break
            starts.append(count)
            ring_codes.append(code)
    return corners[:count].copy(), fixed[:count].copy(), np.array(starts), np.array(ring_codes, dtype=np.uint8)


@njit(cache=True, inline="always")
def _corner(codes, x, y, step, code):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the turn to take (1 right, -1 left), and whether more than two areas meet here."""
    above_left, above_right = codes[y - 1, x - 1], codes[y - 1, x]
    below_left, below_right = codes[y, x - 1], codes[y, x]
    if step == 0:
        right, left = below_right, above_right
    elif step == 1:
        right, left = below_left, below_right
    elif step == 2:
        right, left = above_left, below_left
    else:
        right, left = above_right, above_left
    turn = 1 if right != code else (-1 if left == code else 0)
    # number of changes of class around the corner: 2 along a border of two areas
    changes = (
        (above_left != above_right)
        + (above_right != below_right)
        + (below_right != below_left)
        + (below_left != above_left)
    )
    return turn, changes > 2


@njit(cache=True)
def _loops(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the corners in the order of their rings, and the start of each ring."""
    order = np.empty_like(following)
    starts = [0]
    seen = np.zeros(len(following), np.bool_)
    count = 0
    for first in range(len(following)):
        corner = first
        if seen[corner]:
            continue
        while not seen[corner]:
            seen[corner] = True
            order[count] = corner
            count += 1
            corner = following[corner]
        starts.append(count)
    return order, np.array(starts)


@njit(cache=True)
def _simplify(
    corners: Corners,
    fixed: NDArray[np.bool_],
    starts: NDArray[np.int64],
    limit: float,
    keep: NDArray[np.bool_],
) -> None:
    """Cut every ring at its fixed corners, or at its first in reading order without any, and thin the lines between."""
    for ring in range(len(starts) - 1):
        begin, length = starts[ring], starts[ring + 1] - starts[ring]
        anchor = -1
        for i in range(length):
            if fixed[begin + i]:
                anchor = i
                break
        if anchor < 0:
            anchor = 0
            for i in range(1, length):
                if _before(corners, begin + i, begin + anchor):
                    anchor = i
        i = anchor
        while True:
            j = i + 1
            while j < anchor + length and not fixed[begin + j % length]:
                j += 1
            _thin(corners, begin, length, i, j, limit, keep)
            i = j
            if j == anchor + length:
                break


@njit(cache=True, inline="always")
def _before(corners, a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return corners[a, 1] < corners[b, 1] or (corners[a, 1] == corners[b, 1] and corners[a, 0] < corners[b, 0])


@njit(cache=True)
def _thin(corners: Corners, begin: int, length: int, i: int, j: int, limit: float, keep: NDArray[np.bool_]) -> None:
    """Apply Douglas and Peucker's rule from corner i to j of a ring, in the same direction as its neighbour."""
    first, last = begin + i % length, begin + j % length
    inner = (begin + (i + 1) % length, begin + (j - 1) % length)
    backwards = _before(corners, last, first) if first != last else _before(corners, inner[1], inner[0])
    keep[first] = keep[last] = True
    stack = [(0, j - i)]
    while len(stack) > 0:
        low, high = stack.pop()
        a = begin + (j - low if backwards else i + low) % length
        b = begin + (j - high if backwards else i + high) % length
        farthest, worst = -1, limit
        for k in range(low + 1, high):
            c = begin + (j - k if backwards else i + k) % length
            distance = _distance(corners, a, b, c)
            if distance > worst:
                farthest, worst = k, distance
        if farthest >= 0:
            keep[begin + (j - farthest if backwards else i + farthest) % length] = True
            stack.append((low, farthest))
            stack.append((farthest, high))


@njit(cache=True, inline="always")
def _distance(corners, a, b, c):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the squared distance of corner c from the line between a and b."""
    across, down = float(corners[b, 0] - corners[a, 0]), float(corners[b, 1] - corners[a, 1])
    x, y = float(corners[c, 0] - corners[a, 0]), float(corners[c, 1] - corners[a, 1])
    square = across * across + down * down
    share = min(max((x * across + y * down) / square, 0.0), 1.0) if square > 0.0 else 0.0
    return (x - share * across) ** 2 + (y - share * down) ** 2
