"""Statistics of a data set: images, classes, pixels, sizes, patients; one image is in memory at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import BACKGROUND_NAME, IGNORE, IGNORE_NAME, Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record, classes_in, truth_of
from qaclims_path.errors import DatasetProblem
from qaclims_path.files.progress import track
from qaclims_path.files.tables import write_csv

COLUMNS = ("split", "class", "images", "image_share", "pixels", "pixel_share", "unknown")


@dataclass(frozen=True)
class ClassStats:
    """Frequency of a class in a split; shares are of all images and of all pixels, ignored ones included.

    Attributes:
        images: Images with the class; None for background and ignored pixels.
        pixels: Pixels of the class in the masks; None for a split without masks.
        unknown: Images of which it is not known whether they hold the class.
    """

    name: str
    images: int | None
    image_share: float | None
    pixels: int | None
    pixel_share: float | None
    unknown: int = 0


@dataclass(frozen=True)
class SplitStats:
    """Statistics of a split.

    Attributes:
        patients: Number of patients, or None where they are not known.
        widths: Smallest, median and largest width in pixels.
        heights: Smallest, median and largest height in pixels.
        classes: One entry per class, then background and ignored pixels where the split has masks.
        together: C x C, number of images that contain both classes.
        classes_per_image: Number of images with 0, 1, 2, ... classes.
    """

    name: str
    part: str
    images: int
    patients: int | None
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    classes: tuple[ClassStats, ...]
    together: tuple[tuple[int, ...], ...]
    classes_per_image: tuple[int, ...]


@dataclass(frozen=True)
class StatsReport:
    """Statistics of a data set, and the reason for each absent split."""

    dataset: str
    root: str
    splits: tuple[SplitStats, ...]
    absent: dict[str, str] = field(default_factory=dict)


def stats(card: Card, root: Path, *, out: Path | None = None) -> StatsReport:
    """Count images, classes and pixels of all splits; the report gives the reason for each split that cannot be listed.

    Args:
        card: Facts about the data set.
        root: Folder of the data.
        out: CSV file for one row per split and class.

    Examples:
        >>> stats(load_card("wsss4luad"), Path("wsss4luad")).splits[0].images  # doctest: +SKIP
        10091
    """
    counted: list[SplitStats] = []
    absent: dict[str, str] = {}
    for name in card.splits:
        try:
            records = list_records(card, root, name)
        except DatasetProblem as error:
            absent[name] = str(error)
            continue
        if records:
            counted.append(split_stats(card, name, records))
        else:
            absent[name] = "It holds no image."
    if not counted:
        raise DatasetProblem(f"{root} holds no split of '{card.name}'. {next(iter(absent.values()))}")
    report = StatsReport(card.name, str(root), tuple(counted), absent)
    if out is not None:
        write_csv(out, _rows(report), COLUMNS)
    return report


def split_stats(card: Card, name: str, records: list[Record]) -> SplitStats:
    """Count one split; masks are opened only where the split has them."""
    count = len(card.classes)
    sizes: list[tuple[int, int]] = []
    pixels = np.zeros(256, np.int64)
    together = np.zeros((count, count), np.int64)
    per_image: Counter[int] = Counter()
    unknown: Counter[int] = Counter()
    for record in track(records, f"counting {name}"):
        sizes.append(record.image.size())
        present = record.present or ()
        if record.mask is not None:
            truth = truth_of(card, record)
            pixels += np.bincount(truth.ravel(), minlength=256)
            present = classes_in(card, truth) if record.present is None else present
        together[np.ix_(present, present)] += 1
        per_image[len(present)] += 1
        unknown.update(record.unknown)
    patients = {record.patient for record in records if record.patient is not None}
    masked = any(record.mask is not None for record in records)
    widths, heights = zip(*sizes, strict=True)
    return SplitStats(
        name=name,
        part=card.split(name).part,
        images=len(records),
        patients=len(patients) or None,
        widths=_spread(widths),
        heights=_spread(heights),
        classes=tuple(_class_stats(card, len(records), together, pixels if masked else None, unknown)),
        together=tuple(tuple(row) for row in together.tolist()),
        classes_per_image=tuple(per_image[number] for number in range(max(per_image) + 1)),
    )


def _class_stats(
    card: Card, images: int, together: NDArray[np.int64], pixels: NDArray[np.int64] | None, unknown: Counter[int]
) -> Iterator[ClassStats]:
    total = 0 if pixels is None else int(pixels.sum())
    for index, name in enumerate(card.names):
        with_class = int(together[index, index])
        covered = None if pixels is None else int(pixels[index])
        share = None if covered is None else covered / total
        yield ClassStats(name, with_class, with_class / images, covered, share, unknown[index])
    if pixels is not None:
        for name, index in ((BACKGROUND_NAME, card.background_index), (IGNORE_NAME, IGNORE)):
            yield ClassStats(name, None, None, int(pixels[index]), int(pixels[index]) / total)


def _spread(values: tuple[int, ...]) -> tuple[int, int, int]:
    return min(values), median_low(values), max(values)


def _rows(report: StatsReport) -> Iterator[dict[str, object]]:
    for split in report.splits:
        for each in split.classes:
            unknown = None if each.images is None else each.unknown
            values = (split.name, each.name, each.images, each.image_share, each.pixels, each.pixel_share, unknown)
            yield dict(zip(COLUMNS, values, strict=True))
