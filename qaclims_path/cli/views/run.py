"""How plans and ends of runs are shown."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from qaclims_path.pipeline.run.pipeline import RunReport
    from qaclims_path.pipeline.run.stages import PlannedStage
    from qaclims_path.report.comparison import CompareReport, Difference, Mean
    from qaclims_path.report.comparison import Table as Compared


def plan_view(steps: "Sequence[PlannedStage]") -> Table:
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


WHAT = {"cams": "Activation maps", "masks": "Pseudo masks", "seg": "Segmenter"}


def compare_parts(report: "CompareReport") -> Iterator[RenderableType]:
    """A table for each data set, step, split, protocol and gate, with its notes below."""
    for compared in report.tables:
        key = compared.key
        what = f"{WHAT[key.what]} of {key.dataset}, split {key.split}"
        yield Text(f"{what}, protocol {key.protocol}, gate {key.gate}", style="bold")
        yield _table(compared)
        for row in compared.rows:
            if row.difference and row.difference.why_not:
                yield Text(f"{row.label}: not compared with {row.difference.against}, {row.difference.why_not}")
        yield from (Text(note) for note in compared.notes)
        yield Text()


def _table(compared: "Compared") -> Table:
    table = Table("method", box=None, header_style="bold")
    table.add_column("seeds", justify="right")
    table.add_column("mIoU %", justify="right", no_wrap=True)
    table.add_column("Dice %", justify="right", no_wrap=True)
    against = next((row.difference.against for row in compared.rows if row.difference), "")
    if against:
        level = ", 95 %" if any(row.difference and row.difference.low is not None for row in compared.rows) else ""
        table.add_column(Text(f"mIoU against {against}{level}"), justify="right")
    for row in compared.rows:
        cells: list[Text | str] = [Text(row.label), str(len(row.seeds)), _over_seeds(row.miou), _over_seeds(row.dice)]
        table.add_row(*cells, *([_difference(row.difference)] if against else []))
    for each in compared.published:
        miou = _spread(each.miou, each.miou_std)
        table.add_row(Text(f"{each.method} ({each.source})"), "", miou, _spread(each.dice, None), style="bright_black")
    return table


def _over_seeds(value: "Mean") -> str:
    mean, std = (None if share is None else 100 * share for share in (value.mean, value.std))
    return _spread(mean, std)


def _spread(mean: float | None, std: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.2f}" + (f" ± {std:.2f}" if std is not None else "")


def _difference(apart: "Difference | None") -> Text:
    if apart is None or apart.mean is None:
        return Text("-")
    ends = (
        f" [{100 * apart.low:+.2f}, {100 * apart.high:+.2f}]"
        if apart.low is not None and apart.high is not None
        else ""
    )
    return Text(f"{100 * apart.mean:+.2f}{ends}", no_wrap=True)
