"""`qaclims report`: a run as one page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; it may be half finished.")],
    root: Annotated[
        Path | None, typer.Option(help="The data as its publisher lays it out; without it there are no pictures.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures for a paper, as PDF and PNG, into RUN/figures.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write RUN/report.html: scores beside published ones, curves, pictures, language, times and settings in one file.

    Example: `qaclims report runs/bcss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import console, print_json
    from qaclims_path.pipeline.run.report import write_run_report

    made = write_run_report(run, root, figures=figures)
    if as_json:
        print_json(made)
        return
    page = console()
    page.print(f"{made.page} was written, {made.kilobytes:.0f} kB.", style="green", markup=False)
    if made.figures:
        page.print(f"{len(made.figures)} figures were written to {run / 'figures'}.", style="green", markup=False)
    for section, why in made.missing.items():
        page.print(f"  without {section}: {why}", style="bright_black", markup=False)
