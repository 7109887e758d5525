"""Result of an evaluation, and the files it is written to.

`metrics.json` is a list with one entry of the schema below (`schema: 1`); scores are fractions of 1, and null where
there is nothing to score. It holds no times, so the same input gives the same file.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card_parts import Published
from qaclims_path.files.atomic import write_json
from qaclims_path.files.numbers import finite
from qaclims_path.files.tables import write_csv

SCHEMA = 1
BEST_NOTE = "best threshold (saw truth)"
Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassRow:
    """Scores of one class; NaN and `absent` where it is neither in the truth nor predicted."""

    name: str
    absent: bool
    iou: float
    dice: float
    precision: float
    recall: float
    support: int
    boundary_iou: float
    iou_interval: Interval | None = None
    dice_interval: Interval | None = None


@dataclass(frozen=True)
class Means:
    """Scores of the whole split, from one confusion matrix; absent classes are in no mean.

    Attributes:
        miou: Mean IoU of the headline classes (`mean_over`).
        mean_dice: Mean Dice of the headline classes.
        miou_all: Mean IoU of all scored classes.
        mean_dice_all: Mean Dice of all scored classes.
        fwiou: IoU weighted by the pixels of the class in the truth.
        pixel_accuracy: Share of counted pixels that are right.
    """

    miou: float
    mean_dice: float
    miou_all: float
    mean_dice_all: float
    fwiou: float
    pixel_accuracy: float


@dataclass(frozen=True)
class PerImageMeans:
    """Means of the scores of single images, which papers do not report; `images` is how many have a score."""

    images: int
    miou: float
    mean_dice: float
    pixel_accuracy: float


@dataclass(frozen=True)
class BoundaryMean:
    """Mean boundary IoU; `width` is the band's share of the image diagonal."""

    width: float
    mean: float


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap and intervals of the means; `ClassRow` holds the intervals of classes."""

    method: str
    level: float
    replicates: int
    seed: int
    miou: Interval
    mean_dice: Interval
    miou_all: Interval
    mean_dice_all: Interval


@dataclass(frozen=True)
class Foreground:
    """Any class against background."""

    iou: float
    dice: float
    background_iou: float
    miou: float


@dataclass(frozen=True)
class SweepRow:
    """Scores at one threshold of a sweep; `iou` follows the classes of the report."""

    threshold: float
    miou: float
    mean_dice: float
    iou: tuple[float, ...]


@dataclass(frozen=True)
class Best:
    """The threshold with the best score on the images that are scored."""

    note: str
    threshold: float
    miou: float


@dataclass(frozen=True)
class EvaluationReport:
    """Result of one evaluation.

    Attributes:
        what: Kind of the predictions (`cams`, `masks` or `seg`), or None if unknown.
        gate: `none`, `oracle`, `predicted`, or `not stated` for label maps of an unknown gate.
        images: Number of images scored.
        expected_images: Number of images on the card; with fewer images the result is partial.
        missing: Images without a prediction, counted as wrong everywhere.
        mean_over: Classes of the headline means.
        absent: Classes that are neither in the truth nor predicted.
        confusion: (C + 1) x (C + 2) pixels, see `compute.confusion`.
        confusion_rows: Names of the rows; the columns have 'no class' at the end.
        published: Published results to compare with.
        notes: Sentences to show beside the numbers.
        crf: Dense CRF that refined the probabilities of a segmenter, or `none`.
    """

    dataset: str
    split: str
    protocol: str
    protocol_title: str
    gate: str
    what: str | None
    images: int
    expected_images: int | None
    missing: int
    mean_over: tuple[str, ...]
    scores: Means
    per_class: tuple[ClassRow, ...]
    absent: tuple[str, ...]
    per_image_means: PerImageMeans
    boundary_iou: BoundaryMean
    intervals: Bootstrap | None
    foreground: Foreground | None
    best_threshold: Best | None
    sweep: tuple[SweepRow, ...]
    confusion: NDArray[np.int64]
    confusion_rows: tuple[str, ...]
    published: tuple[Published, ...]
    notes: tuple[str, ...]
    crf: str = "none"

    @property
    def rules(self) -> str:
        """Protocol, gate and dense CRF, if there is one, for titles."""
        after = "" if self.crf == "none" else f", dense CRF {self.crf}"
        return f"protocol {self.protocol}, gate {self.gate}{after}"

    @property
    def miou_is_partial(self) -> bool:
        """Whether the headline means leave out a scored class."""
        return len(self.mean_over) < len(self.per_class)

    def entry(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        left_out = ("confusion", "confusion_rows", "sweep", "published", "per_class", "protocol_title")
        tree = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        plain = {
            name: asdict(value) if hasattr(value, "__dataclass_fields__") else value for name, value in tree.items()
        }
        classes = {row.name: {k: v for k, v in asdict(row).items() if k != "name"} for row in self.per_class}
        whole: dict[str, Any] = _json({"schema": SCHEMA, **plain, "per_class": classes})
        return whole

    def as_json(self) -> dict[str, Any]:
        """Return the entry and the published results beside it."""
        return {**self.entry(), "published": [row.model_dump(mode="json") for row in self.published]}


def write_report(report: EvaluationReport, out: Path) -> None:
    """Write the tables and then `metrics.json` into a folder, each in one step."""
    per_class = [field.name for field in fields(ClassRow) if not field.name.endswith("_interval")]
    ends = ["iou_low", "iou_high", "dice_low", "dice_high"]
    write_csv(out / "per_class.csv", map(_flat, report.per_class), [*per_class, *ends])
    predicted = [*report.confusion_rows, "no class"]
    write_csv(out / "confusion.csv", _confusion_rows(report, predicted), ["truth", *predicted, "scored"])
    if report.sweep:
        classes = [row.name for row in report.per_class]
        columns = ["threshold", "miou", "mean_dice", *(f"iou {name}" for name in classes), "note"]
        write_csv(out / "sweep.csv", _sweep_rows(report, classes), columns)
    write_json(out / "metrics.json", [report.entry()])


def _flat(row: ClassRow) -> dict[str, object]:
    nothing = (None, None)
    iou, dice = row.iou_interval or nothing, row.dice_interval or nothing
    ends = {"iou_low": iou[0], "iou_high": iou[1], "dice_low": dice[0], "dice_high": dice[1]}
    return {**asdict(row), "absent": "yes" if row.absent else "no", **ends}


def _confusion_rows(report: EvaluationReport, predicted: list[str]) -> Iterator[dict[str, object]]:
    scored = {row.name for row in report.per_class}
    for name, row in zip(report.confusion_rows, report.confusion.tolist(), strict=True):
        yield {"truth": name, **dict(zip(predicted, row, strict=True)), "scored": "yes" if name in scored else "no"}


def _sweep_rows(report: EvaluationReport, classes: list[str]) -> Iterator[dict[str, object]]:
    best = report.best_threshold.threshold if report.best_threshold else None
    for row in report.sweep:
        iou = {f"iou {name}": value for name, value in zip(classes, row.iou, strict=True)}
        note = BEST_NOTE if row.threshold == best else None
        yield {"threshold": row.threshold, "miou": row.miou, "mean_dice": row.mean_dice, **iou, "note": note}


def _json(value: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """NaN becomes None, tuples become lists."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return finite(value) if isinstance(value, float) else value
