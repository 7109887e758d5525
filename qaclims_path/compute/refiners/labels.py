"""Labels for the boundary network as published with IRN: what is surely a class, what is surely background.

Two labellings of one image are made, one with a high threshold for foreground, one with a low one; both follow the
picture's edges by a dense CRF, on the same lattice. What the first calls a class is that class, what both call
background is background, and the rest is 255.
"""

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.refiners.crf import LABEL_STEP, CrfSettings, dense_crf, label_energy

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

IGNORED = 255
CERTAINTY = 0.7  # of hard labels, before the CRF


def confident_labels(
    image: U8,
    maps: F32,
    foreground: float = 0.3,
    background: float = 0.1,
    *,
    certainty: float = CERTAINTY,
    settings: CrfSettings = LABEL_STEP,
) -> tuple[U8, F32]:
    """Labels (H W; 0..K-1 by map, K for background, 255 for doubt) and how sure they are (H W, in 0..1).

    Args:
        image: H W 3.
        maps: K H W in 0..1, one for each class present.
        foreground: Above it a pixel is surely its best class.
        background: At most it, a pixel is surely background.
        certainty: Of the labels before the CRF.
        settings: Of the CRF.
    """
    count = len(maps)
    energies = [label_energy(threshold_labels(maps, at), count + 1, certainty) for at in (foreground, background)]
    sure = dense_crf(image, np.stack(energies), settings)
    high, low = sure.argmax(axis=1).astype(np.uint8)
    confidence = np.where(high < count, sure[0].max(axis=0), sure[1].max(axis=0))
    return agreed(high, low, count), confidence.astype(np.float32)


def agreed(high: U8, low: U8, background: int) -> U8:
    """What is a class under the high threshold, what is background under both, and 255.

    Example:
        >>> agreed(np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8), background=1).tolist()
        [0, 255, 1]
    """
    empty = np.where(low == background, np.uint8(background), np.uint8(IGNORED))
    return np.where(high < background, high, empty)


def threshold_labels(maps: F32, threshold: float) -> U8:
    """The best of K maps (K H W), and K where none is above the threshold."""
    count = len(maps)
    best = maps.max(axis=0, initial=0)
    label = maps.argmax(axis=0) if count else np.zeros(best.shape)
    return np.where(best > np.float32(threshold), label, count).astype(np.uint8)
