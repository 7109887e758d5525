"""Findings of `qaclims doctor` as lines for a narrow terminal, every command on a line of its own for copying."""

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
    """Result of one check."""

    @property
    def group(self) -> str:
        """Group of the check."""
        ...

    @property
    def name(self) -> str:
        """Name of the check."""
        ...

    @property
    def state(self) -> str:
        """One of `MARKS`."""
        ...

    @property
    def detail(self) -> str:
        """Detail of the result."""
        ...

    @property
    def remedy(self) -> str:
        """The command or action that helps."""
        ...


def doctor_page(findings: Sequence[Finding]) -> list[RenderableType]:
    """List the findings under a heading per group; libraries that work share one line."""
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
