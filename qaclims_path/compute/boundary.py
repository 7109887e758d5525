"""Boundary IoU (Cheng et al., CVPR 2021): the IoU of the bands along the contours, pooled over a split.

The band of a class holds its pixels within `width` steps of a pixel of another class or of the image's edge. Ignored
pixels belong to no band and make no contour.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import dilation, erosion, footprint_rectangle

from qaclims_path.compute.scores import Background


def band_width(height: int, width: int, share: float) -> int:
    """Return the width of the band in pixels: a share of the diagonal, at least one.

    Examples:
        >>> band_width(300, 400, 0.02)
        10
    """
    return max(1, round(share * math.hypot(height, width)))


def band(labels: NDArray[np.uint8], valid: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Mark the pixels (h w) within `width` steps of another label, for all labels at once.

    A pixel lies inside its region when the lowest and the highest label around it are the same. Outside the image the
    lowest is taken as 0 and the highest as 255, so that a region ends at the image's edge.

    Args:
        labels: h w, below 254.
        valid: h w, False where the pixel is ignored.
        width: Width in pixels, counted along rows, columns and diagonals.
    """
    lowest = erosion(np.where(valid, labels, np.uint8(255)), _square(width), mode="min")
    highest = dilation(np.where(valid, labels + np.uint8(1), np.uint8(0)), _square(width), mode="max")
    out: NDArray[np.bool_] = valid & (lowest + np.uint8(1) != highest)
    return out


@cache
def _square(width: int) -> tuple[tuple[NDArray[np.uint8], int], ...]:
    """Return the footprint of all pixels within `width` steps, as one row and one column."""
    square: tuple[tuple[NDArray[np.uint8], int], ...]
    square = footprint_rectangle((2 * width + 1, 2 * width + 1), decomposition="separable")
    return square


class BoundaryIoU:
    """Adds up the bands of a split, image by image.

    Attributes:
        counts: (C + 1) x 3 pixels per class and background: in both bands, in the truth's, in the prediction's.
    """

    def __init__(self, classes: int, share: float, background: Background) -> None:
        self.classes = classes
        self.share = share
        self.background = background
        self.counts: NDArray[np.int64] = np.zeros((classes + 1, 3), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Count one image of label indices (h w each)."""
        known = self.classes if self.background == "ignore" else self.classes + 1
        valid = truth < known
        width = band_width(truth.shape[0], truth.shape[1], self.share)
        guess = np.minimum(prediction, np.uint8(self.classes + 1))
        true_band, guess_band = band(truth, valid, width), band(guess, valid, width)
        both = true_band & guess_band & (truth == guess)
        for column, chosen in enumerate((truth[both], truth[true_band], guess[guess_band])):
            self.counts[:, column] += np.bincount(chosen, minlength=self.classes + 2)[: self.classes + 1]

    def scored(self) -> NDArray[np.int64]:
        """Return the counts of the scored classes (n x 3), in the order of `scores.class_counts`."""
        return self.counts if self.background == "score" else self.counts[: self.classes]
