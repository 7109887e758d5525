"""`qaclims demo`: see the package at work before bringing data of one's own."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo writes.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer tiles, for a first look.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the phantom tissue.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make phantom slides and tiles, check them, and score a colour baseline on them.

    Example: `qaclims demo --out demo --quick`
    """
    from qaclims_path.cli.show import console, print_json
    from qaclims_path.recipes.demo import demo as run
    from qaclims_path.report.demo import demo_page

    report = run(out, quick=quick, seed=seed)
    if as_json:
        print_json(report.as_json())
        return
    shown = console()
    for part in demo_page(report.data, report.predictions, report.metrics, report.scores):
        shown.print(part)
