"""How a training shows its result."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.console import facts

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.pipeline.cam.train import TrainCamReport
    from qaclims_path.pipeline.masks.boundary import BoundaryReport
    from qaclims_path.pipeline.segmenter.export import ExportReport
    from qaclims_path.pipeline.segmenter.train import TrainSegReport


def training_table(report: "TrainCamReport") -> "list[RenderableType]":
    """Losses of the last epoch, what classes cover, and what to worry about."""
    judge = f", judge {report.judge}" if report.judge else ""
    title = f"{report.method} on {report.images} images, {report.epochs} epochs{judge}"
    table = Table("last epoch", "mean", title=Text(title, style="table.title"))
    table.columns[1].justify = "right"
    for name, value in report.losses.items():
        table.add_row(name, f"{value:.4f}")
    remarks = [*report.notes, f"{report.images_per_s:.1f} images/s in {report.precision}. The run is in {report.run}."]
    if report.lost:
        remarks.append(
            f"Lost: {', '.join(report.lost)} covered hardly anything in the last epoch where they are present. Raise "
            "cam.losses.classification or cam.losses.floor, lower the weights of language, or, where the training "
            "began with other maps, end halfway back to them (cam.init.keep=0.5)."
        )
    return [table, *map(Text, remarks)]


def boundary_table(report: "BoundaryReport") -> Table:
    """How the boundary network was trained."""
    rows = {
        "images": f"{report.images}, {report.ignored:.1%} of a new one in doubt",
        "steps": str(report.steps),
        **{name: f"{value:.4f}" for name, value in report.losses.items()},
        "network": report.folder,
    }
    return facts(f"Boundaries of {report.dataset}", rows)


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


def export_table(report: "ExportReport") -> Table:
    """What was given away."""
    rows = {
        "format": report.format,
        "classes": ", ".join(report.classes),
        "weights": f"{report.megabytes:.1f} MB",
        "scores on the card": str(report.scores) if report.scores else "none: score a split with `qaclims predict`",
        "target": report.target,
    }
    return facts("Segmenter", rows)
