"""The tables that views are made of. Cells are shown word for word: brackets in names and paths are no markup."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

FAINT = "bright_black"


def plain_table(*columns: str) -> Table:
    """A table without lines; columns marked `>` hold numbers and `_` short words, neither broken into lines."""
    table = Table(box=None, pad_edge=False, header_style=FAINT, padding=(0, 2, 0, 0))
    for column in columns:
        mark, name = (column[0], column[1:]) if column[:1] in (">", "_") else ("", column)
        table.add_column(Text(name), overflow="fold", no_wrap=bool(mark), justify="right" if mark == ">" else "left")
    return table


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values, without lines."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style=FAINT), Text(value))
    return table


def facts(title: str, rows: Mapping[str, str]) -> Table:
    """Names and values, under a title."""
    table = Table(title=Text(title, "table.title"), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    return table


def titled(title: str, body: RenderableType) -> Iterator[RenderableType]:
    """A part under a bold line."""
    yield Text(f"\n{title}", style="bold")
    yield body


def warnings_part(warnings: Sequence[str]) -> Iterator[Text]:
    """Sentences that a person should read before going on."""
    if warnings:
        yield Text("\nRead before you train", style="bold yellow")
        yield from (Text(f"- {sentence}") for sentence in warnings)
