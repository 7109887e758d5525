"""Show trainings, and segmenters that were exported."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import facts

if TYPE_CHECKING:
    from qaclims_path.pipeline.cam.train import TrainCamReport
    from qaclims_path.pipeline.masks.boundary import BoundaryReport
    from qaclims_path.pipeline.segmenter.export import ExportReport
    from qaclims_path.pipeline.segmenter.train import TrainSegReport


def cam_view(report: "TrainCamReport") -> Iterator[RenderableType]:
    """Losses of the last epoch, notes, and a warning about classes that are hardly covered."""
    judge = f", judge {report.judge}" if report.judge else ""
    yield _losses(f"{report.method} on {report.images} images, {report.epochs} epochs{judge}", report.losses)
    yield from map(Text, report.notes)
    yield Text(f"{report.images_per_s:.1f} images/s in {report.precision}. The run is in {report.run}.")
    if report.lost:
        yield Text(
            f"Lost: {', '.join(report.lost)} covered hardly anything in the last epoch where they are present. Raise "
            "cam.losses.classification or cam.losses.floor, lower the weights of language, or, where the training "
            "began with other maps, end halfway back to them (cam.init.keep=0.5)."
        )


def boundary_view(report: "BoundaryReport") -> Iterator[RenderableType]:
    """How the boundary network was trained."""
    rows = {
        "images": f"{report.images}, {report.ignored:.1%} of a new one in doubt",
        "steps": str(report.steps),
        **{name: f"{value:.4f}" for name, value in report.losses.items()},
        "network": report.folder,
    }
    yield facts(f"Boundaries of {report.dataset}", rows)


def seg_view(report: "TrainSegReport") -> Iterator[RenderableType]:
    """Losses of the last epoch, and which masks they were measured with."""
    yield _losses(f"{report.architecture} on {report.images} images, {report.epochs} epochs", report.losses)
    yield Text(report.labels)
    yield from map(Text, report.notes)
    if report.left_out:
        yield Text(f"{report.left_out} images of the split have no mask.")
    if report.best is not None:
        yield Text(f"Best mIoU on the validation split: {report.best:.1%}.")
    yield Text(f"{report.images_per_s:.1f} images/s in {report.precision}. The segmenter is in {report.folder}.")


def export_view(report: "ExportReport") -> Iterator[RenderableType]:
    """Files and classes of an exported segmenter."""
    rows = {
        "format": report.format,
        "classes": ", ".join(report.classes),
        "weights": f"{report.megabytes:.1f} MB",
        "scores on the card": str(report.scores) if report.scores else "none: score a split with `qaclims predict`",
        "written to": report.target,
    }
    yield facts("Segmenter", rows)


def _losses(title: str, losses: Mapping[str, float]) -> Table:
    table = Table("last epoch", "mean", title=Text(title, "table.title"))
    table.columns[1].justify = "right"
    for name, value in losses.items():
        table.add_row(Text(name), f"{value:.4f}")
    return table
