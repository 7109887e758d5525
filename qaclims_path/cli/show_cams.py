"""How `qaclims cams` shows what it made."""

from typing import TYPE_CHECKING

from qaclims_path.cli.show_split import split_parts

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.cams import CamsReport


def cams_tables(report: "CamsReport") -> "list[RenderableType]":
    """What was made, what failed, and the scores."""
    rows = {
        "classes": {"oracle": "present (gate oracle)", "predicted": "predicted (gate predicted)"}.get(
            report.gate, "all (gate none)"
        ),
        "scales": ", ".join(f"{scale:g}" for scale in report.scales) + ", each with its mirror image",
        "precision": report.precision,
    }
    return split_parts(report, "maps", rows, {"on disk": f"{report.megabytes:.1f} MB in {report.folder}"})
