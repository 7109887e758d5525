"""How the commands of segmenters show their results."""

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.export import ExportReport
    from qaclims_path.recipes.predict_seg import PredictReport
    from qaclims_path.recipes.train_seg import TrainSegReport

SHOWN = 5


def seg_table(report: "TrainSegReport") -> Group:
    """Losses of the last epoch, and what it was trained on."""
    title = f"{report.architecture} on {report.images} images, {report.epochs} epochs"
    table = Table("last epoch", "mean", title=title)
    table.columns[1].justify = "right"
    for name, value in report.losses.items():
        table.add_row(name, f"{value:.4f}")
    remarks = [report.labels, *report.notes]
    if report.left_out:
        remarks.append(f"{report.left_out} images of the split have no mask.")
    if report.best is not None:
        remarks.append(f"Best mIoU on the split that was validated on: {report.best:.1%}.")
    remarks.append(f"{report.images_per_s:.1f} images/s in {report.precision}. The segmenter is in {report.folder}.")
    return Group(table, *remarks)


def predict_tables(report: "PredictReport") -> "list[RenderableType]":
    """What was labelled, what failed, and the scores."""
    table = Table(title=f"Labels of {report.dataset}, split {report.split}", show_header=False, title_justify="left")
    made = report.images - report.kept
    rows = {
        "images": f"{report.images}" + (f" ({report.kept} from an earlier command)" if report.kept else ""),
        "precision": report.precision,
        "time": f"{report.seconds:.1f} s" + (f", {made / report.seconds:.2f} images/s" if made else ""),
        "folder": report.folder,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    shown: list[RenderableType] = [table, *report.notes]
    if report.failed:
        some = [f"  {name}: {why}" for name, why in list(report.failed.items())[:SHOWN]]
        more = [f"  and {len(report.failed) - SHOWN} more in index.json"] if len(report.failed) > SHOWN else []
        shown.append("\n".join([f"{len(report.failed)} images have no labels:", *some, *more]))
    return shown + (list(score_tables(report.scores)) if report.scores else [])


def export_table(report: "ExportReport") -> Table:
    """What was given away."""
    table = Table(title="Segmenter", show_header=False, title_justify="left")
    rows = {
        "format": report.format,
        "classes": ", ".join(report.classes),
        "weights": f"{report.megabytes:.1f} MB",
        "scores on the card": str(report.scores) if report.scores else "none: score a split with `qaclims predict`",
        "place": report.place,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
