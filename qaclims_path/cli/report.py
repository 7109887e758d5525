"""`qaclims report`: a run as one page."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; it may be half finished.")],
    root: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set, as its publisher lays it out; without it there are no pictures."),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures for a paper, as PDF and PNG, into RUN/figures.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write RUN/report.html: scores, curves, pictures, texts, times and options on one page.

    Published scores stand beside those of the run. The page is one file and needs nothing else.

    Example: `qaclims report runs/bcss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.run import page_view
    from qaclims_path.pipeline.run.report import write_run_report

    show(write_run_report(run, root, figures=figures), page_view, as_json=as_json)
