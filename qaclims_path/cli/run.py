"""`qaclims run`: the whole recipe."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import (
    FINISHED_WITH_FAILURES,
    Compile,
    Devices,
    KeepEvery,
    Loggers,
    Precision,
    SaveEvery,
    TrainPrecision,
    Workers,
    run_settings,
)


def run(
    config: Annotated[str, typer.Argument(help="A recipe such as bcss-wsss/qa-clims-path, or a YAML file.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; what is done in it is not done again.")],
    corpus: Annotated[Path | None, typer.Option(help="Answers made before, instead of asking.")] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Do this stage and what depends on it again.")
    ] = (None),
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Do this stage alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and why, and do nothing.")] = False,
    devices: Devices = None,
    precision: TrainPrecision = Precision.auto,
    workers: Workers = None,
    save_every: SaveEvery = 0,
    keep_every: KeepEvery = 0,
    logger: Loggers = None,
    compiled: Compile = False,
    threads: Annotated[int, typer.Option(min=1, help="Images that the dense CRF works on at once.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override: cam.train.epochs=5, masks.refiner=par, judge.id=ID."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Corpus, maps, masks, segmenter, scores and report, each resumed or skipped when it is done.

    A changed option redoes exactly the stages that depend on it. All of it is done on one machine: on several, do the
    stages one by one, each training with its own command and `--nodes`.

    Example: `qaclims run bcss-wsss/qa-clims-path --root BCSS-WSSS --out runs/path --set judge.id=vinid/plip`
    """
    from qaclims_path.cli.views.console import console, print_json, print_parts
    from qaclims_path.cli.views.run import plan_view, run_view
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.run.pipeline import do_run, plan_run
    from qaclims_path.pipeline.run.steps import Run

    running = run_settings(
        quiet=as_json,
        devices=devices,
        precision=precision,
        workers=workers,
        save_every=save_every,
        keep_every=keep_every,
        loggers=logger,
        compiled=compiled,
    )
    work = Run(load_run(config, settings or ()), root, out, corpus, running, threads)
    if dry_run:
        steps = plan_run(work, first=first, only=only)
        rows = [{"stage": step.stage.name, "action": step.action, "reason": step.reason} for step in steps]
        print_json(rows) if as_json else console().print(plan_view(steps))
        return
    report = do_run(work, first=first, only=only, say=lambda text: None if as_json else typer.echo(text, err=True))
    print_json(report) if as_json else print_parts(run_view(report))
    if report.missing:
        raise typer.Exit(FINISHED_WITH_FAILURES)
