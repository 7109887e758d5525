"""`qaclims compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    against: Annotated[
        str | None, typer.Option(metavar="ROW", help="Row that the others are compared with; the first if not given.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Replicates of the 95 % intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a table, too: .csv with all numbers, .tex (LaTeX) or .md (Markdown) as shown."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare methods: means over seeds, and differences from a baseline.

    Runs that differ only in their seeds make one row. Differences have 95 % intervals of a bootstrap that draws
    patients (images, where patients are not known) and seeds, the same for both methods. A table holds scores of one
    protocol, gate and split, with published results under the same rules beside.

    Example: `qaclims compare runs/cam+-* runs/path-* --against cam+ --out table.tex`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.run import compare_view
    from qaclims_path.pipeline.run.compare import compare as compare_runs

    report = compare_runs(runs, against=against, out=out, replicates=bootstrap, seed=seed)
    show(report, compare_view, as_json=as_json)
