"""Show plans and scores of runs, and comparisons between runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT
from qaclims_path.data.phantoms.splits import EMBEDDED
from qaclims_path.report.demo import results_part
from qaclims_path.report.numbers import number, percent

if TYPE_CHECKING:
    from qaclims_path.pipeline.demo.demo import DemoReport
    from qaclims_path.pipeline.run.pipeline import RunReport
    from qaclims_path.pipeline.run.report import ReportMade
    from qaclims_path.pipeline.run.stages import PlannedStage
    from qaclims_path.report.comparison import CompareReport, Difference
    from qaclims_path.report.comparison import Table as Compared

STAGES = {"cams": "Activation maps", "masks": "Pseudo masks", "seg": "Segmenter"}


def plan_view(steps: "Sequence[PlannedStage]") -> Iterator[RenderableType]:
    """One row per stage: whether it will run, and why."""
    table = Table("stage", "what it does", "", "why", box=None, header_style="bold")
    for step in steps:
        table.add_row(step.stage.name, step.stage.does, step.action, step.reason)
    yield table


def run_view(report: "RunReport") -> Iterator[RenderableType]:
    """The scores of a run, and the path of its page."""
    table = Table("scored", "split", "protocol", "gate", box=None, header_style="bold")
    table.add_column("mIoU %", justify="right")
    table.add_column("Dice %", justify="right")
    for entry in report.metrics:
        words = [str(entry[key]) for key in ("what", "split", "protocol", "gate")]
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
    for compared in report.tables:
        key = compared.key
        what = f"{STAGES[key.what]} of {key.dataset}, split {key.split}"
        yield Text(f"{what}, protocol {key.protocol}, gate {key.gate}", style="bold")
        yield _compared(compared)
        for row in compared.rows:
            if row.difference and row.difference.why_not:
                yield Text(f"{row.label}: not compared with {row.difference.against}, {row.difference.why_not}")
        yield from (Text(note) for note in compared.notes)
        yield Text()


def demo_view(report: "DemoReport") -> Iterator[RenderableType]:
    """The comparison of methods, then every folder, its cost, and the next commands."""
    yield from compare_view(report.comparison)
    yield from results_part(report.paths, EMBEDDED, report.cpu_seconds, report.peak_mib)


def _compared(compared: "Compared") -> Table:
    table = Table("method", box=None, header_style="bold")
    table.add_column("seeds", justify="right")
    table.add_column("mIoU %", justify="right", no_wrap=True)
    table.add_column("Dice %", justify="right", no_wrap=True)
    against = next((row.difference.against for row in compared.rows if row.difference), "")
    if against:
        level = ", 95 %" if any(row.difference and row.difference.low is not None for row in compared.rows) else ""
        table.add_column(Text(f"mIoU against {against}{level}"), justify="right")
    for row in compared.rows:
        scores = (_spread(percent(each.mean), percent(each.std)) for each in (row.miou, row.dice))
        last = [_difference(row.difference)] if against else []
        table.add_row(Text(row.label), str(len(row.seeds)), *scores, *last)
    for each in compared.published:  # in percent already
        miou = _spread(number(each.miou, ".2f"), number(each.miou_std, ".2f"))
        table.add_row(Text(f"{each.method} ({each.source})"), "", miou, number(each.dice, ".2f"), style=FAINT)
    return table


def _spread(mean: str, std: str) -> str:
    return mean if "-" in (mean, std) else f"{mean} ± {std}"


def _difference(apart: "Difference | None") -> Text:
    if apart is None or apart.mean is None:
        return Text("-")
    ends = ""
    if apart.low is not None and apart.high is not None:
        ends = f" [{100 * apart.low:+.2f}, {100 * apart.high:+.2f}]"
    return Text(f"{100 * apart.mean:+.2f}{ends}", no_wrap=True)
