"""The doctor's findings as lines that fit a narrow terminal, every command on a line of its own to be copied."""

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from rich.console import RenderableType
from rich.markup import escape

MARKS = {
    "ok": "[green]ok     [/]",
    "missing": "[yellow]missing[/]",
    "broken": "[red]broken [/]",
    "note": "[cyan]note   [/]",
}


class Finding(Protocol):
    """What the doctor says of one thing."""

    @property
    def group(self) -> str:
        """What it belongs to."""
        ...

    @property
    def name(self) -> str:
        """What was looked at."""
        ...

    @property
    def state(self) -> str:
        """One of `MARKS`."""
        ...

    @property
    def detail(self) -> str:
        """What was seen."""
        ...

    @property
    def remedy(self) -> str:
        """The command or deed that mends it."""
        ...


def doctor_page(findings: Sequence[Finding]) -> list[RenderableType]:
    """A heading per group; libraries that work share one line."""
    page: list[RenderableType] = []
    for group, members in groupby(findings, key=lambda finding: finding.group):
        page.append(f"[bold]{group}[/]")
        listed = list(members)
        if group == "libraries":
            working = ", ".join(f"{f.name} {f.detail}" for f in listed if f.state == "ok")
            page.append(f"  {MARKS['ok']} {escape(working)}")
            listed = [f for f in listed if f.state != "ok"]
        for finding in listed:
            page.append(f"  {MARKS[finding.state]} {finding.name}: {escape(finding.detail)}")
            if finding.remedy:
                page.append(f"          way out: {escape(finding.remedy)}")
    return page
