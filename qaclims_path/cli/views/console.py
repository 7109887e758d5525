"""Show the report of a command: tables and sentences for people, JSON for programs, and an exit code."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.text import Text

SOME_FAILED, ALL_FAILED = 3, 1  # exit codes

R = TypeVar("R")


def show(
    report: R,
    view: Callable[[R], Iterable[RenderableType]],
    *,
    as_json: bool,
    failed: object = 0,
    all_failed: bool = False,
) -> None:
    """Print a report, and end the command with an exit code where items failed.

    Args:
        report: What the command made.
        view: Lays the report out for people.
        as_json: Print it for programs, and nothing else.
        failed: Anything true where items failed: exit code 3.
        all_failed: Nothing else was there to be done: exit code 1.
    """
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False, default=_plain))
    else:
        print_parts(view(report))
    if failed:
        raise typer.Exit(ALL_FAILED if all_failed else SOME_FAILED)


def print_parts(parts: Iterable[RenderableType]) -> None:
    """Print parts one below the other; paths in sentences are never broken, however narrow the screen."""
    screen = Console(highlight=False)
    for part in parts:
        screen.print(part, soft_wrap=isinstance(part, Text))


def sentence(text: str) -> list[RenderableType]:
    """The view of a report that one sentence describes."""
    return [Text(text)]


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON cannot hold
    """A part of a report in values that JSON can hold."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
