"""How a training shows its result."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.train_cam import TrainCamReport


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
            "losses.classification or losses.floor, lower the weights of language, or, where the training began with "
            "other maps, end halfway back to them (init.keep=0.5)."
        )
    return [table, *map(Text, remarks)]
