"""`qaclims run`: every stage of a recipe."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen
from qaclims_path.cli.options import Json, Recipe, Root, Threads, new_app, override
from qaclims_path.cli.running import run_settings, with_running_on_one_machine
from qaclims_path.engine.settings import RunSettings

app = new_app()


@app.command()
@with_running_on_one_machine
def run(
    config: Recipe,
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the run; finished stages in it are kept.")],
    *,
    card: Annotated[Path | None, typer.Option(help="Card of your own data; the same as --set dataset=FILE.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="A corpus that was made before.")] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Redo this stage and all that depend on it.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Do only this stage.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and why.")] = False,
    threads: Threads = 1,
    settings: Annotated[list[str] | None, override("masks.refiner=par")] = None,
    running: Chosen[RunSettings],
    as_json: Json = False,
) -> None:
    """Run every stage of a recipe: corpus, maps, masks, segmenter, scores and report.

    Finished stages are skipped, unfinished ones resumed; a changed option redoes exactly the stages that depend on it.
    A run stays on one machine: on several, run the stages one by one, each training by its own command with `--nodes`.

    Example: `qaclims run bcss-wsss/qa-clims-path --root BCSS-WSSS --out runs/path --set judge.id=vinid/plip`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.run import plan_view, run_view
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.run.pipeline import do_run, plan_run
    from qaclims_path.pipeline.run.preview import preview
    from qaclims_path.pipeline.run.steps import Run
    from qaclims_path.pipeline.run.warnings import run_warnings

    hardware = run_settings(running, quiet=as_json)
    chosen = [*([f"dataset={card.absolute()}"] if card else []), *(settings or ())]
    work = Run(load_run(config, chosen, root), root, out, corpus, hardware, threads)
    steps = plan_run(work, first=first, only=only)  # refuses what cannot be done before anything is said
    if dry_run:
        show(preview(work, steps), plan_view, as_json=as_json)
        return
    say: Callable[[str], None] = (lambda _: None) if as_json else partial(typer.echo, err=True)
    if any(step.action != "skip" for step in steps):
        for sentence in run_warnings(work):
            say(f"Before training: {sentence}")
    report = do_run(work, first=first, only=only, say=say)
    show(report, run_view, as_json=as_json, failed=report.missing)
