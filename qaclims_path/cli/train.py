"""`qaclims train`: training, from a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.running import (
    Compile,
    Devices,
    KeepEvery,
    Loggers,
    Nodes,
    Precision,
    SaveEvery,
    TrainPrecision,
    Workers,
    run_settings,
)
from qaclims_path.cli.train_boundary import boundary
from qaclims_path.cli.train_seg import seg

app = typer.Typer(no_args_is_help=True, help="Train activation maps and segmenters.")


@app.callback()
def _several() -> None:
    """Train activation maps and segmenters."""


@app.command()
def cam(
    config: Annotated[str, typer.Argument(help="A recipe such as bcss-wsss/qa-clims-path, or a YAML file.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished run goes on.")],
    corpus: Annotated[Path | None, typer.Option(help="Answers, for methods that learn from them.")] = None,
    devices: Devices = None,
    nodes: Nodes = None,
    precision: TrainPrecision = Precision.auto,
    workers: Workers = None,
    save_every: SaveEvery = 0,
    keep_every: KeepEvery = 0,
    logger: Loggers = None,
    compiled: Compile = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override: train.epochs=5.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a network whose maps show where the classes are, from image-level labels and, on request, language.

    Example: `qaclims train cam bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set train.epochs=5`
    """
    from qaclims_path.cli.show import print_json, print_parts
    from qaclims_path.cli.show_training import training_table
    from qaclims_path.recipes.train_cam import train_cam
    from qaclims_path.recipes.train_cam_options import load_options

    running = run_settings(
        quiet=as_json,
        devices=devices,
        nodes=nodes,
        precision=precision,
        workers=workers,
        save_every=save_every,
        keep_every=keep_every,
        loggers=logger,
        compiled=compiled,
    )
    report = train_cam(load_options(config, settings or ()), root, out, corpus=corpus, running=running)
    if as_json:
        print_json(report)
    else:
        print_parts(training_table(report))


app.command()(boundary)
app.command()(seg)
