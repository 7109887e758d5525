"""How plans and ends of runs are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.run import RunReport
    from qaclims_path.recipes.stages import Step


def plan_view(steps: "Sequence[Step]") -> Table:
    """One row per stage: what will become of it, and why."""
    table = Table("stage", "what it does", "", "why", box=None, header_style="bold")
    for step in steps:
        table.add_row(step.stage.name, step.stage.does, step.action, step.reason)
    return table


def run_view(report: "RunReport") -> "list[RenderableType]":
    """The scores of a run, and where its page is."""
    table = Table("scored", "split", "protocol", "gate", box=None, header_style="bold")
    table.add_column("mIoU %", justify="right")
    table.add_column("Dice %", justify="right")
    for entry in report.metrics:
        scores = entry["scores"]
        words = [str(entry[key]) for key in ("what", "split", "protocol", "gate")]
        table.add_row(*words, *(_percent(scores[key]) for key in ("miou", "mean_dice")))
    missing = [f"{report.missing} predictions are missing and count as wrong."] if report.missing else []
    return [table, *map(Text, missing), Text(f"\nOpen {report.run}/report.html")]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
