"""Labels for the boundary network as published with IRN: confident pixels of classes and of background.

An image is labelled twice, with a high and with a low threshold, and both labellings are aligned to the image's edges
by a dense CRF. A class of the first labelling stays; background of both stays; all other pixels are 255.
"""

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

IGNORED = 255


def threshold_labels(maps: NDArray[np.float32], threshold: float) -> U8:
    """Return the index of the highest of K maps (K H W), or K where none is above the threshold.

    Examples:
        >>> threshold_labels(np.array([[[0.2, 0.6]], [[0.4, 0.5]]], np.float32), 0.4).tolist()
        [[2, 0]]
    """
    best = maps.max(axis=0)
    return np.where(best > np.float32(threshold), maps.argmax(axis=0), len(maps)).astype(np.uint8)


def agreed(high: U8, low: U8, background: int) -> U8:
    """Combine two labellings: classes under the high threshold, background under both, and 255 elsewhere.

    Examples:
        >>> agreed(np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8), background=1).tolist()
        [0, 255, 1]
    """
    empty = np.where(low == background, np.uint8(background), np.uint8(IGNORED))
    return np.where(high < background, high, empty)
