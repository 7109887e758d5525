"""The confusion matrix, added up over any number of images.

Rows are truth: classes 0..C-1, then background. Columns are prediction: the same, then 'no class' for any other value.
Pixels whose truth has any other value (255) are ignored.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

NO_CLASS = 255
_LANES = 4


class Confusion:
    """Adds up the matrix of a split, image by image.

    Attributes:
        matrix: (C + 1) x (C + 2) pixel counts of all images so far.

    Examples:
        >>> counted = Confusion(classes=2)
        >>> _ = counted.add(np.array([[0, 1, 2, 255]], np.uint8), np.array([[0, 0, 2, 1]], np.uint8))
        >>> counted.matrix.tolist()
        [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.matrix: NDArray[np.int64] = np.zeros((classes + 1, classes + 2), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Count label indices of one image or batch, of any equal shape, and return the matrix of these alone."""
        matrix = confusion_matrix(truth, prediction, self.classes)
        self.matrix += matrix
        return matrix


def confusion_matrix(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the matrix (C + 1) x (C + 2) of two arrays of label indices of equal shape."""
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}")
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(f"label indices are uint8, not {truth.dtype} and {prediction.dtype}")
    size = classes + 2
    shift = (size - 1).bit_length()
    lanes = np.zeros((_LANES, size << shift), np.int64)
    _count(
        np.ascontiguousarray(truth).reshape(-1), np.ascontiguousarray(prediction).reshape(-1), size - 1, shift, lanes
    )
    counted: NDArray[np.int64] = lanes.sum(axis=0).reshape(size, 1 << shift)[: size - 1, :size]
    return counted


@njit(cache=True, nogil=True)
def _count(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], last: int, shift: int, lanes: NDArray[np.int64]
) -> None:
    """Count into four histograms in turn: equal neighbours would wait for each other's increment of one."""
    whole = truth.size - truth.size % _LANES
    for i in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane, (min(truth[i + lane], last) << shift) | min(prediction[i + lane], last)] += 1
    for i in range(whole, truth.size):
        lanes[0, (min(truth[i], last) << shift) | min(prediction[i], last)] += 1
