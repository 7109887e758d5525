"""Join tiles in a band as high as one tile, whatever the height of the image.

`TileBand` adds overlapping tiles of class probabilities; `LabelBand` joins tiles of labels side by side.

The weights of a tile are the product of one row and one column of numbers. No map of their sums is stored: the
probabilities of a pixel add up to one, so the sum over its classes is the sum of its weights.
"""

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Window = Literal["gaussian", "linear", "flat"]
SUM_MARGIN = 0.02  # half precision adds up to one within this
NO_LABEL = 255  # the label where the numbers are no probabilities
SIGMA = 0.125  # share of a tile's side


def window_weights(kind: Window, size: int) -> NDArray[np.float32]:
    """Return the weights (size) along one side of a tile: positive, symmetric, 1 in the middle.

    Examples:
        >>> window_weights("linear", 3).tolist()
        [0.5, 1.0, 0.5]
    """
    centred = np.abs(np.arange(size) - (size - 1) / 2)
    if kind == "gaussian":
        weights = np.exp(-0.5 * (centred / (SIGMA * size)) ** 2)
    elif kind == "linear":
        weights = 1.0 - centred / ((size + 1) / 2)
    else:
        weights = np.ones(size)
    scaled: NDArray[np.float32] = (weights / weights.max()).astype(np.float32)
    return scaled


class TileBand:
    """The rows of an image that still receive tiles.

    Finished rows are taken at the top, and as many empty rows are added at the bottom.

    Attributes:
        top: The first row that has not been taken.

    Examples:
        >>> band = TileBand(width=3, classes=2, weights=window_weights("flat", 2))
        >>> band.add(np.array([[[0, 0.3], [0, 0.3]], [[1, 0.7], [1, 0.7]]], np.float32), left=1, top=0)
        True
        >>> codes, confidence = band.take(1, outside=255)
        >>> codes.tolist(), confidence.tolist()
        ([[255, 1, 1]], [[0, 255, 179]])
    """

    def __init__(self, width: int, classes: int, weights: NDArray[np.float32], top: int = 0) -> None:
        self.top = top
        self._weights = weights
        self._sums = np.zeros((len(weights), classes, width), np.float32)

    def add(self, probabilities: NDArray[np.float32], left: int, top: int) -> bool:
        """Add one tile, cut to the image; return whether the probabilities of every pixel add up to one.

        Args:
            probabilities: C h w of a tile.
            left: First column of the tile in the image; negative where the tile begins outside.
            top: First row of the tile; rows above the band are not added.
        """
        if top > self.top:
            raise ValueError(f"row {top} is added before the rows from {self.top} on have been taken")
        return bool(_add(self._sums, probabilities, self._weights, left, top, self.top) == 0)

    def take(self, rows: int, outside: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Take the top rows: the best class of each pixel, and its share of the probability times 255.

        Args:
            rows: Number of rows, at most the height of a tile.
            outside: Code of the pixels that no tile covers; their confidence is 0.
        """
        codes = np.empty((rows, self._sums.shape[2]), np.uint8)
        confidence = np.empty_like(codes)
        _take(self._sums, self.top % len(self._sums), outside, codes, confidence)
        self.top += rows
        return codes, confidence


class LabelBand:
    """The rows of an image that still receive tiles of labels and confidence, which do not overlap.

    Attributes:
        top: The first row that has not been taken.

    Examples:
        >>> band = LabelBand(width=3, size=2)
        >>> band.add(np.array([[[1, 0], [1, 1]], [[200, 150], [255, 180]]], np.uint8), left=1, top=0)
        True
        >>> labels, confidence = band.take(1, outside=255)
        >>> labels.tolist(), confidence.tolist()
        ([[255, 1, 0]], [[0, 200, 150]])
    """

    def __init__(self, width: int, size: int, top: int = 0) -> None:
        self.top = top
        self._layers = np.zeros((2, size, width), np.uint8)
        self._covered = np.zeros((size, width), bool)

    def add(self, tile: NDArray[np.uint8], left: int, top: int) -> bool:
        """Put in one tile (labels and confidence, 2 h w), cut to the image; return whether all pixels have a label."""
        size, width = self._covered.shape
        rows = np.arange(max(top, self.top), top + tile.shape[1])
        first, last = max(0, -left), max(0, min(tile.shape[2], width - left))
        area = np.s_[rows % size, left + first : left + last]
        self._layers[(slice(None), *area)] = tile[:, rows - top, first:last]
        self._covered[area] = True
        return not (tile[0] == NO_LABEL).any()

    def take(self, rows: int, outside: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Take the top rows, at most the height of a tile; where no tile is, the label is `outside`, confidence 0."""
        taken = np.arange(self.top, self.top + rows) % len(self._covered)
        labels, confidence = np.where(self._covered[taken], self._layers[:, taken], 0)
        labels[~self._covered[taken]] = outside
        self._covered[taken] = False
        self.top += rows
        return labels, confidence


@njit(cache=True, nogil=True)
def _add(
    sums: NDArray[np.float32],
    tile: NDArray[np.float32],
    weights: NDArray[np.float32],
    left: int,
    top: int,
    start: int,
) -> int:
    """Add a tile; row r of the image is `sums[r % height]`. Return the number of pixels that hold no probabilities."""
    height, classes, width = sums.shape
    first, last = max(0, -left), max(0, -left, min(tile.shape[2], width - left))
    totals = np.empty(tile.shape[2], np.float32)
    wrong = 0
    for i in range(tile.shape[1]):
        totals[:] = 0
        for c in range(classes):
            values = tile[c, i]
            for j in range(totals.size):  # NaN fails the comparison
                totals[j] += values[j] if values[j] >= np.float32(-SUM_MARGIN) else np.float32(2.0)
        for j in range(totals.size):
            wrong += 0 if abs(totals[j] - np.float32(1.0)) <= np.float32(SUM_MARGIN) else 1
        if top + i < start:
            continue
        across = weights[i] * weights[first:last]
        for c in range(classes):
            values = tile[c, i, first:last]
            line = sums[(top + i) % height, c, left + first : left + last]
            for j in range(line.size):
                line[j] += across[j] * values[j]
    return wrong


@njit(cache=True, nogil=True)
def _take(
    sums: NDArray[np.float32],
    first: int,
    outside: int,
    codes: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
) -> None:
    height, classes, width = sums.shape
    best = np.empty(width, np.float32)
    total = np.empty(width, np.float32)
    for row in range(codes.shape[0]):
        band = sums[(first + row) % height]
        best[:] = 0
        total[:] = 0
        codes[row] = outside
        for c in range(classes):
            for x in range(width):
                value = band[c, x]
                total[x] += value
                if value > best[x]:
                    best[x] = value
                    codes[row, x] = c
        for x in range(width):
            confidence[row, x] = np.uint8(np.float32(255.0) * best[x] / max(total[x], np.float32(1e-30)) + 0.5)
        band[:] = 0
