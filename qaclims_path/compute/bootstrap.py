"""95 % intervals over images by the Poisson bootstrap.

An ordinary bootstrap draws n of n images many times, and needs all of them in memory. Here each image appears in each
replicate as often as a Poisson distribution of mean 1 says, which is the limit of drawing with replacement for many
images. The draw depends only on the seed and the image's number, so images can be added in any order, and memory is
replicates x classes x 3 numbers for any number of images. With fewer than about 20 images any bootstrap is rough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.scores import Counts, Floats, dice_of, iou_of, mean_of

MANY_IMAGES = 20


@dataclass(frozen=True)
class Intervals:
    """Lower and upper ends, as fractions of 1; NaN where there is nothing to score.

    Attributes:
        iou: n x 2, per scored class.
        dice: n x 2.
        miou: 2, over the classes of the headline.
        mean_dice: 2.
        miou_all: 2, over all scored classes.
        mean_dice_all: 2.
    """

    iou: Floats
    dice: Floats
    miou: Floats
    mean_dice: Floats
    miou_all: Floats
    mean_dice_all: Floats


class PoissonBootstrap:
    """Adds up the weighted counts of all replicates.

    Attributes:
        sums: replicates x n x 3 weighted counts of all images so far.

    Examples:
        >>> resampled = PoissonBootstrap(classes=1, replicates=200, seed=0)
        >>> for image, right in enumerate([8, 9, 7, 10]):
        ...     resampled.add(image, np.array([[right, 10, 10]]))
        >>> low, high = resampled.intervals().dice[0]
        >>> bool(0.7 <= low < 0.85 < high <= 1.0)
        True
    """

    def __init__(self, classes: int, replicates: int, seed: int) -> None:
        self.seed = seed
        self.sums: Counts = np.zeros((replicates, classes, 3), np.int64)

    def add(self, image: int, counts: Counts) -> None:
        """Add one image by its number in the split and its counts (n x 3: right, in the truth, predicted)."""
        weights = image_weights(self.seed, image, len(self.sums))
        found = np.flatnonzero(counts.any(axis=1))
        self.sums[:, found] += weights[:, None, None] * counts[found]

    def intervals(self, mean_over: Sequence[int] = (), level: float = 0.95) -> Intervals:
        """Return percentile intervals over the replicates."""
        iou, dice = iou_of(self.sums), dice_of(self.sums)
        ends = ((1 - level) / 2, (1 + level) / 2)
        return Intervals(
            iou=_ends(iou, ends),
            dice=_ends(dice, ends),
            miou=_ends(mean_of(iou, mean_over), ends),
            mean_dice=_ends(mean_of(dice, mean_over), ends),
            miou_all=_ends(mean_of(iou), ends),
            mean_dice_all=_ends(mean_of(dice), ends),
        )


def image_weights(seed: int, image: int, replicates: int) -> NDArray[np.int64]:
    """Draw how often an image appears in each replicate; depends only on the seed and the image's number."""
    source = np.random.Philox(key=np.array([seed, image], np.uint64))
    return np.random.Generator(source).poisson(1.0, replicates)


def _ends(values: Floats, ends: tuple[float, float]) -> Floats:
    """Return quantiles over the replicates (first axis) that have the class; the quantiles are the last axis."""
    if values.ndim > 1:
        return np.stack([_ends(column, ends) for column in values.T])
    found = values[~np.isnan(values)]
    return np.quantile(found, ends) if len(found) else np.full(2, np.nan)
