"""Scores of a confusion matrix: per class, and their means under a protocol.

All functions take matrices (..., C + 1, C + 2) of `confusion.py`, so one call scores one image, a split, or all
thresholds of a sweep. A class that is neither in the truth nor predicted is `absent` and scores NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Background = Literal["ignore", "score", "penalise"]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Scores as fractions of 1; n scored classes: all of them, and background last where it is scored.

    Attributes:
        iou: (..., n) intersection over union.
        dice: (..., n) 2 TP / (truth + predicted), from the counts, never from a mean IoU.
        precision: (..., n), NaN where nothing was predicted.
        recall: (..., n), NaN where the truth has none.
        support: (..., n) pixels of the class in the truth.
        absent: (..., n) whether the class is neither in the truth nor predicted.
        miou: (...,) mean of iou over the classes of the headline that are not absent.
        mean_dice: (...,) mean of dice over the same classes.
        miou_all: (...,) mean of iou over all scored classes that are not absent.
        mean_dice_all: (...,) mean of dice over the same classes.
        fwiou: (...,) iou weighted by support.
        pixel_accuracy: (...,) share of counted truth pixels that are right.
    """

    iou: Floats
    dice: Floats
    precision: Floats
    recall: Floats
    support: Counts
    absent: NDArray[np.bool_]
    miou: Floats
    mean_dice: Floats
    miou_all: Floats
    mean_dice_all: Floats
    fwiou: Floats
    pixel_accuracy: Floats


def score(matrix: Counts, background: Background, mean_over: Sequence[int] = ()) -> Scores:
    """Score matrices (..., C + 1, C + 2).

    Args:
        matrix: Pixel counts.
        background: Truth pixels of background are left out (`ignore`), are a class like the others (`score`), or are
            errors of whatever class is predicted there without being averaged (`penalise`).
        mean_over: Indices of the classes of the headline means; all scored ones when empty.

    Examples:
        >>> one = np.array([[3, 0, 1, 0], [1, 4, 0, 0], [2, 0, 5, 0]])
        >>> [float(score(one, mode).iou[0]) for mode in ("ignore", "penalise")]
        [0.6, 0.42857142857142855]
    """
    counts = class_counts(matrix, background)
    right, truth, predicted = counts[..., 0], counts[..., 1], counts[..., 2]
    iou, dice = iou_of(counts), dice_of(counts)
    kept = matrix[..., :-1, :] if background == "ignore" else matrix
    everything = np.trace(kept, axis1=-2, axis2=-1)
    return Scores(
        iou=iou,
        dice=dice,
        precision=_ratio(right, predicted),
        recall=_ratio(right, truth),
        support=truth,
        absent=(truth == 0) & (predicted == 0),
        miou=mean_of(iou, mean_over),
        mean_dice=mean_of(dice, mean_over),
        miou_all=mean_of(iou),
        mean_dice_all=mean_of(dice),
        fwiou=_ratio(np.nansum(truth * iou, axis=-1), truth.sum(axis=-1)),
        pixel_accuracy=_ratio(everything, kept.sum(axis=(-1, -2))),
    )


def class_counts(matrix: Counts, background: Background) -> Counts:
    """Count pixels per scored class, (..., n, 3): right, in the truth, predicted."""
    classes = matrix.shape[-2] - 1
    kept = matrix[..., :classes, :] if background == "ignore" else matrix
    scored = classes + 1 if background == "score" else classes
    right = np.diagonal(kept, axis1=-2, axis2=-1)[..., :scored]
    truth = kept.sum(axis=-1)[..., :scored]
    predicted = kept.sum(axis=-2)[..., :scored]
    return np.stack([right, truth, predicted], axis=-1)


def foreground_counts(matrix: Counts) -> Counts:
    """Count pixels of any class against background, (..., 2, 3) as `class_counts`: foreground, then background."""
    right = np.stack([matrix[..., :-1, :-2].sum(axis=(-1, -2)), matrix[..., -1, -2]], axis=-1)
    truth = np.stack([matrix[..., :-1, :].sum(axis=(-1, -2)), matrix[..., -1, :].sum(axis=-1)], axis=-1)
    predicted = np.stack([matrix[..., :, :-2].sum(axis=(-1, -2)), matrix[..., :, -2].sum(axis=-1)], axis=-1)
    return np.stack([right, truth, predicted], axis=-1)


def iou_of(counts: Counts) -> Floats:
    """Return the intersection over union of (..., 3) counts; NaN where there is nothing to score."""
    return _ratio(counts[..., 0], counts[..., 1] + counts[..., 2] - counts[..., 0])


def dice_of(counts: Counts) -> Floats:
    """Return the Dice of (..., 3) counts; NaN where there is nothing to score."""
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def mean_of(values: Floats, over: Sequence[int] = ()) -> Floats:
    """Return the mean of (..., n) over the last axis without NaN; NaN where nothing is left.

    Examples:
        >>> float(mean_of(np.array([0.2, np.nan, 0.6])))
        0.4
    """
    chosen = values[..., list(over)] if len(over) else values
    found = ~np.isnan(chosen)
    return _ratio(np.where(found, chosen, 0.0).sum(axis=-1), found.sum(axis=-1))


def _ratio(over: NDArray[np.number], under: NDArray[np.number]) -> Floats:
    out: Floats = np.full(np.broadcast(over, under).shape, np.nan)
    np.divide(over, under, out=out, where=np.asarray(under) != 0)
    return out
