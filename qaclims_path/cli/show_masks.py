"""How `qaclims masks` and `qaclims train boundary` show what they made."""

from typing import TYPE_CHECKING

from rich.table import Table

from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.masks import MasksReport
    from qaclims_path.recipes.train_boundary import BoundaryReport

SHOWN = 5


def masks_tables(report: "MasksReport") -> "list[RenderableType]":
    """What was made, what failed, and the scores."""
    table = Table(title=f"Masks of {report.dataset}, split {report.split}", show_header=False, title_justify="left")
    made = report.images - report.kept
    rows = {
        "images": f"{report.images}" + (f" ({report.kept} from an earlier command)" if report.kept else ""),
        "refiner": report.refiner,
        "maps of": {"oracle": "present classes (gate oracle)", "predicted": "predicted classes (gate predicted)"}.get(
            report.gate, "all classes (gate none)"
        ),
        "background": _threshold(report),
        "left out of training": f"{report.ignored:.1%} of a new image",
        "time": f"{report.seconds:.1f} s" + (f", {made / report.seconds:.2f} images/s" if made else ""),
        "folder": report.folder,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    shown: list[RenderableType] = [table]
    if report.failed:
        some = [f"  {name}: {why}" for name, why in list(report.failed.items())[:SHOWN]]
        more = [f"  and {len(report.failed) - SHOWN} more in index.json"] if len(report.failed) > SHOWN else []
        shown.append("\n".join([f"{len(report.failed)} images have no masks:", *some, *more]))
    return shown + (list(score_tables(report.scores)) if report.scores else [])


def boundary_table(report: "BoundaryReport") -> Table:
    """How the boundary network was trained."""
    table = Table(title=f"Boundaries of {report.dataset}", show_header=False, title_justify="left")
    rows = {
        "images": f"{report.images}, {report.ignored:.1%} of a new one in doubt",
        "steps": str(report.steps),
        **{name: f"{value:.4f}" for name, value in report.losses.items()},
        "network": report.folder,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _threshold(report: "MasksReport") -> str:
    if report.thresholds is None:
        return "never, the highest map wins"
    low, high = report.thresholds
    return f"up to {low:g}" if low == high else f"up to {low:g}..{high:g}, fitted on other images"
