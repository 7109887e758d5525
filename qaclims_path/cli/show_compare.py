"""How a comparison is shown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from qaclims_path.report.comparison import CompareReport, Difference, Mean
    from qaclims_path.report.comparison import Table as Compared

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
        miou = _percent(each.miou, each.miou_std)
        table.add_row(Text(f"{each.method} ({each.source})"), "", miou, _percent(each.dice, None), style="bright_black")
    return table


def _over_seeds(value: "Mean") -> str:
    mean, std = (None if share is None else 100 * share for share in (value.mean, value.std))
    return _percent(mean, std)


def _percent(mean: float | None, std: float | None) -> str:
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
