"""How the commands of segmenters show their results."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from qaclims_path.cli.show import facts
from qaclims_path.cli.show_split import split_parts

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.export import ExportReport
    from qaclims_path.recipes.predict_seg import PredictReport
    from qaclims_path.recipes.train_seg import TrainSegReport


def seg_table(report: "TrainSegReport") -> "list[RenderableType]":
    """Losses of the last epoch, and what it was trained on."""
    title = f"{report.architecture} on {report.images} images, {report.epochs} epochs"
    table = Table("last epoch", "mean", title=Text(title, "table.title"))
    table.columns[1].justify = "right"
    for name, value in report.losses.items():
        table.add_row(Text(name), f"{value:.4f}")
    remarks = [report.labels, *report.notes]
    if report.left_out:
        remarks.append(f"{report.left_out} images of the split have no mask.")
    if report.best is not None:
        remarks.append(f"Best mIoU on the split that was validated on: {report.best:.1%}.")
    remarks.append(f"{report.images_per_s:.1f} images/s in {report.precision}. The segmenter is in {report.folder}.")
    return [table, *map(Text, remarks)]


def predict_tables(report: "PredictReport") -> "list[RenderableType]":
    """What was labelled, what failed, and the scores."""
    return split_parts(report, "labels", {"precision": report.precision}, {"folder": report.folder}, report.notes)


def export_table(report: "ExportReport") -> Table:
    """What was given away."""
    rows = {
        "format": report.format,
        "classes": ", ".join(report.classes),
        "weights": f"{report.megabytes:.1f} MB",
        "scores on the card": str(report.scores) if report.scores else "none: score a split with `qaclims predict`",
        "place": report.place,
    }
    return facts("Segmenter", rows)
