"""Evaluation reports as tables on the screen; scores are in percent, as papers print them."""

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from qaclims_path.data.card_parts import Published
from qaclims_path.report.evaluation import EvaluationReport
from qaclims_path.report.numbers import interval_text, percent


def score_tables(report: EvaluationReport) -> list[RenderableType]:
    """Make the tables of means, classes and published results, and the notes."""
    parts: list[RenderableType] = [_means(report), _classes(report)]
    if report.published:
        parts.append(_beside(report))
    return [*parts, *(Text(note) for note in notes_of(report))]


def notes_of(report: EvaluationReport) -> list[str]:
    """List the sentences that a reader of the numbers has to know.

    Examples:
        >>> notes_of(report)  # doctest: +SKIP
        ['missing: 3 of 40 images have no prediction and are counted as wrong.']
    """
    notes = []
    if report.missing:
        notes.append(
            f"missing: {report.missing} of {report.images} images have no prediction and are counted as wrong."
        )
    if report.expected_images is not None and report.images != report.expected_images:
        notes.append(f"partial: {report.images} of {report.expected_images} images of this split.")
    if report.gate == "oracle":
        notes.append("gate oracle: the true image labels chose which classes could be predicted.")
    if report.absent:
        notes.append(f"absent, in neither truth nor predictions, and in no mean: {', '.join(report.absent)}.")
    return [*notes, *report.notes]


def _title(report: EvaluationReport, what: str) -> str:
    return escape(f"{what}: {report.dataset}, {report.split}, {report.rules}")


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        highlight=False,
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _means(report: EvaluationReport) -> Table:
    table = _table(_title(report, "Scores"))
    table.add_column("score")
    table.add_column("%", justify="right")
    table.add_column("95 % interval", justify="right")
    scores, ends = report.scores, report.intervals
    over = f" of {', '.join(report.mean_over)}" if report.miou_is_partial else ""
    table.add_row(escape(f"mIoU{over}"), percent(scores.miou), interval_text(ends.miou if ends else None))
    table.add_row(
        escape(f"mean Dice{over}"), percent(scores.mean_dice), interval_text(ends.mean_dice if ends else None)
    )
    if report.miou_is_partial:
        table.add_row("mIoU of all classes", percent(scores.miou_all), interval_text(ends.miou_all if ends else None))
        both = interval_text(ends.mean_dice_all if ends else None)
        table.add_row("mean Dice of all classes", percent(scores.mean_dice_all), both)
    table.add_row("frequency-weighted IoU", percent(scores.fwiou), "")
    table.add_row("pixel accuracy", percent(scores.pixel_accuracy), "")
    boundary = report.boundary_iou
    table.add_row(f"boundary IoU, width {100 * boundary.width:g} % of the diagonal", percent(boundary.mean), "")
    if report.foreground is not None:
        table.add_row("any class, IoU", percent(report.foreground.iou), "")
        table.add_row("any class, Dice", percent(report.foreground.dice), "")
        table.add_row("any class and background, mIoU", percent(report.foreground.miou), "")
    means = report.per_image_means
    table.add_row(f"mIoU, mean of {means.images} images", percent(means.miou), "")
    table.add_row(f"mean Dice, mean of {means.images} images", percent(means.mean_dice), "")
    if report.best_threshold is not None:
        best = report.best_threshold
        table.add_row(f"mIoU at {best.threshold:g}, {best.note}", percent(best.miou), "")
    return table


def _classes(report: EvaluationReport) -> Table:
    table = _table(_title(report, "Classes"))
    table.add_column("class", overflow="fold", min_width=4)
    for name in ("IoU %", "95 %", "Dice %", "prec. %", "recall %", "b-IoU %", "pixels"):
        table.add_column(name, justify="right", overflow="fold")  # a number that is cut off would look complete
    for row in report.per_class:
        cells = (row.dice, row.precision, row.recall, row.boundary_iou)
        table.add_row(
            escape(row.name) + (" (absent)" if row.absent else ""),
            percent(row.iou),
            interval_text(row.iou_interval),
            *map(percent, cells),
            f"{row.support:,}",
        )
    return table


def _beside(report: EvaluationReport) -> Table:
    table = _table(_title(report, "Beside published results"))
    table.add_column("method")
    for name in ("scored", "mIoU %", "Dice %", "Dice made", "FwIoU %"):
        table.add_column(name, justify="left" if name in ("scored", "Dice made") else "right")
    table.add_column("source")
    scores = report.scores
    ours = (percent(scores.miou), percent(scores.mean_dice), "mean of classes", percent(scores.fwiou))
    table.add_row("these predictions", report.what or "", *ours, "", style="bold")
    for row in report.published:
        table.add_row(*map(escape, _published_cells(row)))
    return table


def _published_cells(row: Published) -> tuple[str, ...]:
    made = {"per_class_mean": "mean of classes", "from_miou": "from mIoU", "unknown": "not stated"}[row.dice_made]
    scores = ["" if value is None else f"{value:.2f}" for value in (row.miou, row.dice, row.fwiou)]
    spread = "" if row.miou_std is None else f" ± {row.miou_std:.2f}"
    return (
        row.method,
        row.what,
        scores[0] + spread,
        scores[1],
        made if row.dice is not None else "",
        scores[2],
        row.source,
    )
