"""Show plans and scores of runs, and comparisons between runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, plain_table, warnings_part
from qaclims_path.data.phantoms.splits import EMBEDDED
from qaclims_path.files.numbers import spent
from qaclims_path.report.comparison_text import Shown, shown
from qaclims_path.report.demo import results_part
from qaclims_path.report.numbers import percent

if TYPE_CHECKING:
    from qaclims_path.pipeline.demo.demo import DemoReport
    from qaclims_path.pipeline.run.pipeline import RunReport
    from qaclims_path.pipeline.run.preview import RunPlan
    from qaclims_path.pipeline.run.report import ReportMade
    from qaclims_path.report.comparison import CompareReport


def plan_view(plan: "RunPlan") -> Iterator[RenderableType]:
    """Show the parts of a run with the settings that decide them, a row per stage, and time and disk of all."""
    facts = plain_table("", "", "set by")
    for fact in plan.facts:
        facts.add_row(Text(fact.name, style="bold"), Text(fact.value), Text(", ".join(fact.settings), style=FAINT))
    yield facts
    yield Text()
    table = plain_table("_stage", "what it does", "", ">about", "why")
    for step in plan.stages:
        name = step.stage.name
        about = spent(plan.costs[name].seconds) if name in plan.costs else ""
        table.add_row(Text(name), Text(step.stage.does), Text(step.action), about, Text(step.reason))
    yield table
    room = f"{_size(plan.bytes)} in {plan.out}, where {_size(plan.free)} are free"
    yield Text(f"\nRoughly {spent(plan.seconds)} and {room}. Nothing was done.")
    if plan.bytes > plan.free:
        yield Text("That is more than is free: choose another --out, or free some space.", style="red")
    yield from warnings_part(plan.warnings)


def run_view(report: "RunReport") -> Iterator[RenderableType]:
    """The scores of a run, and the path of its page."""
    table = Table("scored", "split", "protocol", "gate", "dense CRF", box=None, header_style="bold")
    table.add_column("mIoU %", justify="right")
    table.add_column("Dice %", justify="right")
    for entry in report.metrics:
        words = [*(str(entry[key]) for key in ("what", "split", "protocol", "gate")), str(entry.get("crf", "none"))]
        table.add_row(*words, *(percent(entry["scores"][key]) for key in ("miou", "mean_dice")))
    yield table
    if report.missing:
        yield Text(f"{report.missing} predictions are missing and count as wrong.")
    yield Text(f"\nOpen {report.run}/report.html")


def page_view(report: "ReportMade") -> Iterator[RenderableType]:
    """The path of a page, and sections that it lacks."""
    yield Text(f"{report.page} was written, {report.kilobytes:.0f} kB.", style="green")
    if report.figures:
        yield Text(f"{len(report.figures)} files were written to {Path(report.figures[0]).parent}.", style="green")
    for section, reason in report.missing.items():
        yield Text(f"  without {section}: {reason}", style=FAINT)


def compare_view(report: "CompareReport") -> Iterator[RenderableType]:
    """A table for each data set, kind of prediction, split, protocol and gate, with its notes below."""
    for compared in map(shown, report.tables):
        yield Text(compared.title, style="bold")
        yield _compared(compared)
        yield from (Text(note) for note in compared.notes)
        yield Text()


def demo_view(report: "DemoReport") -> Iterator[RenderableType]:
    """The comparison of methods, then every folder, its cost, and the next commands."""
    yield from compare_view(report.comparison)
    yield from results_part(report.paths, EMBEDDED, report.cpu_seconds, report.peak_mib)


def _size(count: float) -> str:
    """Write a number of bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _compared(compared: Shown) -> Table:
    table = Table(compared.columns[0], box=None, header_style="bold")
    for name in compared.columns[1:]:
        table.add_column(Text(name), justify="right")
    for row in compared.rows:
        table.add_row(Text(row[0]), *(Text(cell, no_wrap=True) for cell in row[1:]))
    for row in compared.published:
        table.add_row(*map(Text, row), style=FAINT)
    return table
