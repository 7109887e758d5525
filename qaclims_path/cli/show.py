"""How commands show their results: rich tables for people, JSON for programs."""

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import typer
from rich.console import Console


def console() -> Console:
    """Standard output for tables; plain text when it is not a terminal."""
    return Console(soft_wrap=False)


def print_json(report: Any) -> None:  # noqa: ANN401 - a dataclass or anything JSON can hold
    """Print a report as JSON and nothing else."""
    value = asdict(report) if is_dataclass(report) and not isinstance(report, type) else report
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
