"""One evaluation on the page of a run: classes, published results, confusion matrix and threshold curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.card_parts import ClassInfo, Published
from qaclims_path.data.protocol import load_protocol
from qaclims_path.errors import UsageError
from qaclims_path.report.evaluation import ClassRow, EvaluationReport
from qaclims_path.report.run.charts import Chart, Mark, Point, Series, line_chart
from qaclims_path.report.scores import notes_of

WHAT = {"cams": "Activation maps", "masks": "Pseudo masks", "seg": "Segmenter"}
LEVELS = 10  # shades of the confusion matrix
WIDE = (460, 240)
Color = tuple[int, int, int]


@dataclass(frozen=True)
class ClassShown:
    """One class: its scores, and published ones as pairs of method and IoU in percent."""

    title: str
    color: Color | None
    row: ClassRow
    published: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class TruthShown:
    """One row of the confusion matrix.

    Attributes:
        scored: Whether its pixels count.
        pixels: Pixels of the class in the truth.
        cells: Share of these predicted as each column (NaN without pixels), and its shade.
    """

    title: str
    color: Color | None
    scored: bool
    pixels: int
    cells: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Scored:
    """One evaluation.

    Attributes:
        what: Title of the stage that was scored.
        published: Published results under the same protocol, gate and split; in percent.
        by_class: Classes with a published IoU.
        columns: Columns of the confusion matrix.
        curve: mIoU and Dice at every threshold.
        curves: IoU of every class at every threshold.
        notes: Sentences that a reader of the numbers has to know.
    """

    what: str
    report: EvaluationReport
    classes: tuple[ClassShown, ...]
    published: tuple[Published, ...]
    by_class: tuple[ClassShown, ...]
    columns: tuple[str, ...]
    matrix: tuple[TruthShown, ...]
    curve: Chart | None
    curves: tuple[Chart, ...]
    notes: tuple[str, ...]


def scored(report: EvaluationReport, card: Card | None) -> Scored:
    """Prepare an evaluation for the page.

    Args:
        report: Result of the evaluation.
        card: Gives titles, colours and published results; None where the card cannot be read.
    """
    named = replace(report, mean_over=_titles(report.mean_over, card), absent=_titles(report.absent, card))
    rows = card.published_like(report.split, report.protocol, report.gate, report.what) if card else ()
    published = tuple(sorted(rows, key=lambda row: -(row.miou or 0)))
    infos = {info.name: info for info in card.classes} if card else {}
    classes = tuple(_class(row, infos.get(row.name), card, published) for row in report.per_class)
    matrix, columns = _matrix(report, card)
    return Scored(
        what=WHAT.get(report.what or "", "Predictions"),
        report=named,
        classes=classes,
        published=published,
        by_class=tuple(each for each in classes if each.published),
        columns=columns,
        matrix=matrix,
        curve=_curve(report),
        curves=tuple(_class_curves(report, classes)),
        notes=tuple(notes_of(named)),
    )


def title_of(name: str, card: Card | None) -> tuple[str, Color | None]:
    """Find the title and colour of a class or of background."""
    info = next((info for info in card.classes if info.name == name), None) if card else None
    if info is not None:
        return info.title, info.color
    if card and card.background and name == BACKGROUND_NAME:
        return card.background.display, card.background.color
    return name, None


def _titles(names: Sequence[str], card: Card | None) -> tuple[str, ...]:
    return tuple(title_of(name, card)[0] for name in names)


def _class(row: ClassRow, info: ClassInfo | None, card: Card | None, published: Sequence[Published]) -> ClassShown:
    title, color = (info.title, info.color) if info else title_of(row.name, card)
    theirs = tuple((each.method, each.per_class[row.name]) for each in published if row.name in each.per_class)
    return ClassShown(title, color, row, theirs)


def _matrix(report: EvaluationReport, card: Card | None) -> tuple[tuple[TruthShown, ...], tuple[str, ...]]:
    counts = report.confusion
    if not counts.size:
        return (), ()
    nothing = not counts[:, -1].any()  # no pixel was left without a class
    columns = (*(title_of(name, card)[0] for name in report.confusion_rows), "no class")
    kept = counts[:, :-1] if nothing else counts
    names = {row.name for row in report.per_class}
    rows = []
    for name, row in zip(report.confusion_rows, kept, strict=True):
        title, color = title_of(name, card)
        total = int(row.sum())
        shares = [float(value) / total if total else math.nan for value in row]
        cells = tuple((share, 0 if math.isnan(share) else round(LEVELS * share)) for share in shares)
        rows.append(TruthShown(title, color, name in names, total, cells))
    return tuple(rows), columns[: kept.shape[1]]


def _curve(report: EvaluationReport) -> Chart | None:
    if not report.sweep:
        return None
    marks = [Mark(report.best_threshold.threshold, "best, saw truth")] if report.best_threshold else []
    threshold = _threshold(report.protocol)
    if threshold is not None:
        marks.append(Mark(threshold, "protocol"))
    series = [
        Series([(row.threshold, 100 * row.miou) for row in report.sweep], name="mIoU"),
        Series([(row.threshold, 100 * row.mean_dice) for row in report.sweep], "second", "Dice"),
    ]
    return line_chart("mIoU and Dice in % by threshold", series, size=WIDE, y_range=(0, 100), marks=marks)


def _class_curves(report: EvaluationReport, classes: Sequence[ClassShown]) -> list[Chart]:
    charts = []
    for index, each in enumerate(classes if report.sweep else ()):
        points: list[Point] = [(row.threshold, 100 * row.iou[index]) for row in report.sweep]
        chart = line_chart(each.title, [Series(points)], y_range=(0, 100), color=each.color)
        charts += [chart] if chart else []
    return charts


def _threshold(protocol: str) -> float | None:
    """Return the fixed threshold of a protocol, or None."""
    try:
        rules = load_protocol(protocol)
    except UsageError:  # of another version
        return None
    return rules.map_threshold if rules.predict_background and rules.background_power is None else None
