"""`qaclims demo`: the whole method on painted slides."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo writes.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller slides, shorter trainings.")] = False,
    controls: Annotated[
        bool, typer.Option("--controls", help="Add rows that show what words contribute: names, shuffled, supervised.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the painted tissue and of every training.")] = 0,
    as_json: Json = False,
) -> None:
    """Run the whole method on painted slides: answers, maps, masks, segmenters and scores.

    Nothing is downloaded. The same command continues where it stopped.

    Example: `qaclims demo --out demo --quick`
    """
    from dataclasses import replace

    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.run import demo_view
    from qaclims_path.pipeline.demo.demo import demo as run
    from qaclims_path.pipeline.demo.size import CONTROLS, FULL, QUICK

    size = QUICK if quick else FULL
    if controls:
        size = replace(size, rows=(*size.rows, *CONTROLS))
    report = run(out, size=size, seed=seed, say=lambda text: typer.echo(text, err=True))
    show(report, demo_view, as_json=as_json)
