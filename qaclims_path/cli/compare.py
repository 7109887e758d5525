"""`qaclims compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    against: Annotated[
        str | None, typer.Option(metavar="ROW", help="Row that the others are compared with; the first if not given.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Replicates of the 95 % intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write all rows as a table, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare methods: means and standard deviations over seeds, and how far they are from a baseline.

    Runs that differ in nothing but their seeds make one row. Differences have 95 % intervals of a bootstrap that draws
    patients (images, where patients are not known) and seeds, the same for both methods. Only what was scored under one
    protocol, with one gate, on one split stands in one table, with published results under the same rules beside.

    Example: `qaclims compare runs/cam+-* runs/path-* --against cam+ --out table.csv`
    """
    from qaclims_path.cli.views.console import print_json, print_parts
    from qaclims_path.cli.views.run import compare_parts
    from qaclims_path.pipeline.run.compare import compare as compare_runs

    report = compare_runs(runs, against=against, out=out, replicates=bootstrap, seed=seed)
    if as_json:
        print_json(report.as_json())
    else:
        print_parts(compare_parts(report))
