"""95 % intervals of the difference between two methods, over images and trainings.

In every replicate both methods are scored on the same drawn sources of images (`bootstrap.source_weights` depends only
on the seed and the source's number), and the same trainings of both are drawn. So the difficulty of images cancels out.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.bootstrap import PoissonBootstrap
from qaclims_path.compute.scores import Counts, Floats, iou_of, mean_of


def drawn_scores(counts: Iterable[Counts], mean_over: Sequence[int], replicates: int, seed: int) -> Floats:
    """Return the mean IoU of a training on drawn images, one number per replicate; NaN where no class was drawn.

    Args:
        counts: n x 3 of every image source: right, in the truth, predicted; in the same order for all trainings.
        mean_over: Indices of the classes of the mean; all when empty.
        replicates: Number of draws.
        seed: Seed of the draws.
    """
    resampled: PoissonBootstrap | None = None
    for source, each in enumerate(counts):
        resampled = resampled or PoissonBootstrap(len(each), replicates, seed)
        resampled.add(source, each)
    return np.full(replicates, np.nan) if resampled is None else mean_of(iou_of(resampled.sums), mean_over)


def drawn_trainings(trainings: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """Draw the share of each training in every replicate (replicates x trainings), with replacement.

    Examples:
        >>> drawn_trainings(1, replicates=2, seed=0).tolist()
        [[1.0], [1.0]]
    """
    drawn = np.random.default_rng(seed).multinomial(trainings, [1 / trainings] * trainings, replicates)
    return drawn / trainings


def difference_interval(
    ours: Sequence[Floats], theirs: Sequence[Floats], seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of the mean difference between paired trainings.

    With few trainings the interval is too narrow: three say little about how much the next one differs.

    Args:
        ours: `drawn_scores` of each training.
        theirs: `drawn_scores` of its partner.
        seed: Seed of the draw of trainings.
        level: Share of the replicates inside the interval.

    Examples:
        >>> low, high = difference_interval([np.array([0.5, 0.7])], [np.array([0.4, 0.4])], seed=0)
        >>> round(low, 3), round(high, 3)
        (0.105, 0.295)
    """
    apart = np.stack(ours, axis=-1) - np.stack(theirs, axis=-1)
    means = (apart * drawn_trainings(apart.shape[1], len(apart), seed)).sum(axis=1)
    found = means[~np.isnan(means)]
    if not len(found):
        return np.nan, np.nan
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
