"""How `qaclims cams` shows what it made."""

from typing import TYPE_CHECKING

from rich.table import Table

from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.cams import CamsReport

SHOWN = 5


def cams_tables(report: "CamsReport") -> "list[RenderableType]":
    """What was made, what failed, and the scores."""
    table = Table(title=f"Maps of {report.dataset}, split {report.split}", show_header=False, title_justify="left")
    made = report.images - report.kept
    rows = {
        "images": f"{report.images}" + (f" ({report.kept} from an earlier command)" if report.kept else ""),
        "classes": {"oracle": "present (gate oracle)", "predicted": "predicted (gate predicted)"}.get(
            report.gate, "all (gate none)"
        ),
        "scales": ", ".join(f"{scale:g}" for scale in report.scales) + ", each with its mirror image",
        "precision": report.precision,
        "time": f"{report.seconds:.1f} s" + (f", {made / report.seconds:.2f} images/s" if made else ""),
        "on disk": f"{report.megabytes:.1f} MB in {report.folder}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    shown: list[RenderableType] = [table]
    if report.failed:
        some = [f"  {name}: {why}" for name, why in list(report.failed.items())[:SHOWN]]
        more = [f"  and {len(report.failed) - SHOWN} more in index.json"] if len(report.failed) > SHOWN else []
        shown.append("\n".join([f"{len(report.failed)} images have no maps:", *some, *more]))
    return shown + (list(score_tables(report.scores)) if report.scores else [])
