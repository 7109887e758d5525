"""`qaclims demo`: see the whole method at work before bringing data of one's own."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo writes.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="The same in little: does it run?")] = False,
    controls: Annotated[
        bool, typer.Option("--controls", help="Rows that tell what words are worth, too: names, shuffled, supervised.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the painted tissue and of every training.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Paint slides, ask about them, train maps and segmenters with several methods, score them, segment a slide.

    Nothing is downloaded. The same command again goes on where it stopped.

    Example: `qaclims demo --out demo --quick`
    """
    from dataclasses import replace

    from qaclims_path.cli.views.console import print_json, print_parts
    from qaclims_path.cli.views.run import compare_parts
    from qaclims_path.data.phantoms.splits import EMBEDDED
    from qaclims_path.pipeline.demo.demo import demo as run
    from qaclims_path.pipeline.demo.size import CONTROLS, FULL, QUICK
    from qaclims_path.report.demo import results_part

    size = QUICK if quick else FULL
    if controls:
        size = replace(size, rows=(*size.rows, *CONTROLS))
    report = run(out, size=size, seed=seed, say=lambda text: typer.echo(text, err=True))
    if as_json:
        print_json(report.as_json())
        return
    print_parts(
        [*compare_parts(report.comparison), *results_part(report.places, EMBEDDED, report.cpu_seconds, report.peak_mib)]
    )
