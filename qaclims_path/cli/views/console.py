"""How commands show their results: rich tables for people, JSON for programs."""

import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


def console() -> Console:
    """Standard output for tables; plain text when it is not a terminal."""
    return Console(soft_wrap=False)


def print_json(report: Any) -> None:  # noqa: ANN401 - a dataclass or anything JSON can hold
    """Print a report as JSON and nothing else."""
    value = asdict(report) if is_dataclass(report) and not isinstance(report, type) else report
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_parts(parts: Iterable[RenderableType]) -> None:
    """Print parts one below the other; sentences keep their paths in one piece however narrow the screen."""
    screen = console()
    for part in parts:
        screen.print(part, soft_wrap=isinstance(part, Text))


def facts(title: str, rows: dict[str, str]) -> Table:
    """A table of names and what there is to say of each, word for word: brackets are no markup."""
    table = Table(title=Text(title, "table.title"), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    return table
