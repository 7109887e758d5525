"""`qaclims train boundary`: the boundary network behind `qaclims masks --refiner irn`."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.running import (
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


def boundary(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its maps in cams/SPLIT.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    split: Annotated[str, typer.Option(help="Split whose maps are learned from.")] = "train",
    dataset: Annotated[str | None, typer.Option(help="Name or card; that of the run if not given.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Says whether there is background; the card's first.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override: band=[0.1,0.35], backbone=resnet50, train.epochs=5.")
    ] = None,
    devices: Devices = None,
    precision: TrainPrecision = Precision.auto,
    workers: Workers = None,
    save_every: SaveEvery = 0,
    keep_every: KeepEvery = 0,
    logger: Loggers = None,
    compiled: Compile = False,
    threads: Annotated[int, typer.Option(min=1, help="Images that the dense CRF works on at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Learn where one class ends and another begins, from the parts of the maps that are sure, as IRN does.

    Labels are made first, with two thresholds and a dense CRF. Only the edge branch is trained, on the backbone of the
    run or another one; the displacement branch of IRN is not built, because class masks do not need it.

    Example: `qaclims train boundary runs/cam --root VOC2012 --split train_aug`
    """
    from qaclims_path.cli.show import console, print_json
    from qaclims_path.cli.show_masks import boundary_table
    from qaclims_path.config import override, parse
    from qaclims_path.recipes.train_boundary import BoundaryOptions, train_boundary

    options = parse(BoundaryOptions, override({"split": split}, settings or ()), "options")
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
    report = train_boundary(run, root, options, dataset=dataset, protocol=protocol, running=running, threads=threads)
    if as_json:
        print_json(report)
    else:
        console().print(boundary_table(report))
