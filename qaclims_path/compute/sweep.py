"""Score all thresholds of a sweep in one pass over the maps, with the results of scoring each alone.

Only the best class of a pixel, its score and the truth matter. The pixel is background at every threshold that the
score does not exceed, so one histogram over (thresholds exceeded, truth, class) holds the matrices of all thresholds.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.compute.gates import best_class

_CELLS = 1024
DEFAULT_THRESHOLDS = tuple(step / 100 for step in range(1, 100))


class Sweep:
    """Adds up the matrices of all thresholds, image by image.

    Background is predicted where the best class score is not above the threshold, as `argmax` does with a constant
    background channel in front. Scores and thresholds are compared in float32.

    Attributes:
        thresholds: T, float32, sorted.

    Examples:
        >>> sweep = Sweep(classes=1, thresholds=[0.2, 0.5])
        >>> sweep.add(np.array([[[0.1, 0.2, 0.4, 0.9]]], np.float32), [0], np.array([[1, 0, 0, 0]], np.uint8))
        >>> sweep.matrices()[:, 0, 0].tolist()
        [2, 1]
    """

    def __init__(self, classes: int, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> None:
        self.classes = classes
        self.thresholds = np.asarray(thresholds, np.float32)
        if not len(self.thresholds) or np.any(np.diff(self.thresholds) < 0):
            raise ValueError("thresholds are a sorted list of at least one number")
        self._counts = np.zeros((len(self.thresholds) + 1, classes + 2, classes + 1), np.int64)

    def add(self, scores: NDArray[np.float32], labels: Sequence[int], truth: NDArray[np.uint8]) -> None:
        """Count one image.

        Args:
            scores: K h w, finite.
            labels: Class index of each channel.
            truth: h w label indices.
        """
        if scores.shape[1:] != truth.shape:
            raise ValueError(f"scores have shape {scores.shape}, truth {truth.shape}")
        best, label = best_class(scores, labels)
        # label 255 (no channel) is counted in the last column; its score exceeds no threshold
        _count(
            best.reshape(-1), label.reshape(-1), np.ascontiguousarray(truth).reshape(-1), self.thresholds, self._counts
        )

    def matrices(self) -> NDArray[np.int64]:
        """Return T x (C + 1) x (C + 2) confusion matrices, one for each threshold."""
        counts = self._counts[:, : self.classes + 1]
        exceeded = counts[::-1].cumsum(axis=0)[::-1][1:, :, : self.classes]
        not_exceeded = counts.sum(axis=2).cumsum(axis=0)[:-1, :, None]
        return np.concatenate([exceeded, not_exceeded, np.zeros_like(not_exceeded)], axis=2)


@njit(cache=True, nogil=True)
def _cell(value: float, first: float, scale: float) -> int:
    """Return the cell of a value; equal cells lie between the first and last threshold, and grow with the value."""
    position = (value - first) * scale
    if not position > 0:
        return 0
    return _CELLS if position >= _CELLS else int(position)


@njit(cache=True, nogil=True)
def _count(
    best: NDArray[np.float32],
    label: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    thresholds: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Count pixels by thresholds exceeded: all of earlier cells, and those of the score's own cell by comparison."""
    rows, columns = counts.shape[1] - 1, counts.shape[2] - 1
    first, extent = thresholds[0], thresholds[-1] - thresholds[0]
    scale = _CELLS / extent if extent > 0 else 0.0
    earlier = np.zeros(_CELLS + 1, np.int64)
    for threshold in thresholds:
        earlier[_cell(threshold, first, scale) + 1 :] += 1
    for i in range(best.size):
        exceeded = earlier[_cell(best[i], first, scale)]
        while exceeded < thresholds.size and thresholds[exceeded] < best[i]:
            exceeded += 1
        counts[exceeded, min(truth[i], rows), min(label[i], columns)] += 1
