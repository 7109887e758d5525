"""95 % intervals by the Poisson bootstrap over the sources of images: patients where they are known, else images.

Images of one patient are alike, so they are drawn together. An ordinary bootstrap draws n of n sources many times, and
needs all of them in memory. Here each source appears in each replicate as often as a Poisson distribution of mean 1
says, which is the limit of drawing with replacement for many sources. The draw depends only on the seed and the number
of the source, so images can be added in any order, and memory is replicates x classes x 3 numbers for any number of
images. One source gives no interval, and with fewer than about 20 any bootstrap is rough.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.scores import Counts, Floats, dice_of, iou_of, mean_of

MANY = 20  # sources that are enough for an interval
PATIENT, IMAGE = "patient ", "image "  # beginnings of the names of sources


class Sources:
    """Numbers the sources of images, in the order in which they come.

    Examples:
        >>> sources = Sources()
        >>> [sources.number(image, patient) for image, patient in [("a", "p"), ("b", "p"), ("c", "q")]]
        [0, 0, 1]
        >>> sources.kind
        'patients'
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def number(self, image: str, patient: str | None) -> int:
        """Return the number of an image's source."""
        return self.names.setdefault(source_of(image, patient), len(self.names))

    @property
    def kind(self) -> str:
        """Name the units that are drawn: patients, images, or both."""
        return kind_of(self.names)


def source_of(image: str, patient: str | None) -> str:
    """Name the source of an image: its patient, or slide, where that is known, else the image itself."""
    return f"{PATIENT}{patient}" if patient else f"{IMAGE}{image}"


def kind_of(sources: Collection[str]) -> str:
    """Say what named sources are: patients, images, or both."""
    kinds = {"patients" if name.startswith(PATIENT) else "images" for name in sources}
    return " and ".join(sorted(kinds, reverse=True))


def about_intervals(sources: Collection[str]) -> str:
    """Say what intervals over sources are worth; empty for many patients.

    Examples:
        >>> about_intervals(["patient 7"])
        'There are no intervals: all images are of one patient, and a bootstrap needs several.'
    """
    kind = kind_of(sources)
    if len(sources) == 1:
        who = "there is one image only" if kind == "images" else "all images are of one patient"
        return f"There are no intervals: {who}, and a bootstrap needs several."
    said = []
    if 1 < len(sources) < MANY:
        said.append(f"The intervals are rough: {len(sources)} {kind} are few for a bootstrap.")
    if len(sources) > 1 and kind != "patients":
        said.append("The intervals are over images, because patients are not known; those over patients are wider.")
    return " ".join(said)


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
        >>> for source, right in enumerate([8, 9, 7, 10]):
        ...     resampled.add(source, np.array([[right, 10, 10]]))
        >>> low, high = resampled.intervals().dice[0]
        >>> bool(0.7 <= low < 0.85 < high <= 1.0)
        True
    """

    def __init__(self, classes: int, replicates: int, seed: int) -> None:
        self.seed = seed
        self.sums: Counts = np.zeros((replicates, classes, 3), np.int64)

    def add(self, source: int, counts: Counts) -> None:
        """Add the counts of an image (n x 3: right, in the truth, predicted) by the number of its source."""
        weights = source_weights(self.seed, source, len(self.sums))
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


def source_weights(seed: int, source: int, replicates: int) -> NDArray[np.int64]:
    """Draw how often a source appears in each replicate; depends only on the seed and the source's number."""
    stream = np.random.Philox(key=np.array([seed, source], np.uint64))
    return np.random.Generator(stream).poisson(1.0, replicates)


def _ends(values: Floats, ends: tuple[float, float]) -> Floats:
    """Return quantiles over the replicates (first axis) that have the class; the quantiles are the last axis."""
    if values.ndim > 1:
        return np.stack([_ends(column, ends) for column in values.T])
    found = values[~np.isnan(values)]
    return np.quantile(found, ends) if len(found) else np.full(2, np.nan)
