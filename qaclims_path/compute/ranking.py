"""Quality of a ranking (ROC AUC) and of a classification by the highest score (balanced accuracy)."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.floating]


def roc_auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores above a negative, ties counting half; NaN without both.

    Args:
        scores: N.
        positive: N, bool.

    Examples:
        >>> roc_auc(np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, True, True, True]))
        1.0
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    above = rankdata(scores)[positive].sum() - ones * (ones + 1) / 2
    return float(above / (ones * zeros))


def named_confusion(scores: Floats, truth: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count truth (rows) against the class of the highest score (columns): C C.

    Args:
        scores: N C.
        truth: N class indices.
    """
    classes = scores.shape[1]
    pairs = truth * classes + scores.argmax(1) if len(truth) else np.zeros(0, np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(confusion: NDArray[np.int64]) -> float:
    """Return the mean recall over the classes that occur; NaN where none does.

    Examples:
        >>> balanced_accuracy(np.array([[8, 2, 0], [0, 1, 0], [0, 0, 0]]))
        0.9
    """
    totals = confusion.sum(1)
    occurs = totals > 0
    return float((np.diag(confusion)[occurs] / totals[occurs]).mean()) if occurs.any() else float("nan")
