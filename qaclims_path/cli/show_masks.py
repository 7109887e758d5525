"""How `qaclims masks` and `qaclims train boundary` show what they made."""

from typing import TYPE_CHECKING

from qaclims_path.cli.show import facts
from qaclims_path.cli.show_split import split_parts

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from qaclims_path.recipes.masks import MasksReport
    from qaclims_path.recipes.train_boundary import BoundaryReport


def masks_tables(report: "MasksReport") -> "list[RenderableType]":
    """What was made, what failed, and the scores."""
    rows = {
        "refiner": report.refiner,
        "maps of": {"oracle": "present classes (gate oracle)", "predicted": "predicted classes (gate predicted)"}.get(
            report.gate, "all classes (gate none)"
        ),
        "background": _threshold(report),
        "left out of training": f"{report.ignored:.1%} of a new image",
    }
    return split_parts(report, "masks", rows, {"folder": report.folder})


def boundary_table(report: "BoundaryReport") -> "Table":
    """How the boundary network was trained."""
    rows = {
        "images": f"{report.images}, {report.ignored:.1%} of a new one in doubt",
        "steps": str(report.steps),
        **{name: f"{value:.4f}" for name, value in report.losses.items()},
        "network": report.folder,
    }
    return facts(f"Boundaries of {report.dataset}", rows)


def _threshold(report: "MasksReport") -> str:
    if report.thresholds is None:
        return "never, the highest map wins"
    low, high = report.thresholds
    return f"up to {low:g}" if low == high else f"up to {low:g}..{high:g}, fitted on other images"
