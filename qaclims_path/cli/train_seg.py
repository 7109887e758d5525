"""`qaclims train seg`: a segmenter, from pseudo masks."""

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


def seg(
    config: Annotated[str, typer.Argument(help="A recipe such as bcss-wsss/qa-clims-path, or a YAML file.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the segmenter goes to its seg/.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of masks; OUT/masks/SPLIT if not given.")] = None,
    devices: Devices = None,
    nodes: Nodes = None,
    precision: TrainPrecision = Precision.auto,
    workers: Workers = None,
    save_every: SaveEvery = 0,
    keep_every: KeepEvery = 0,
    logger: Loggers = None,
    compiled: Compile = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override: seg.train.epochs=5, seg.network.architecture=unet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a network that labels every pixel, on the masks that `qaclims masks` wrote, with their confidence.

    Its options are the section `seg` of the recipe. With `--set seg.truth=true` it learns from the true masks of a
    split that has them, for the supervised row of a table. An unfinished training goes on.

    Example: `qaclims train seg bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set seg.train.epochs=5`
    """
    from qaclims_path.cli.show import print_json, print_parts
    from qaclims_path.cli.show_seg import seg_table
    from qaclims_path.recipes.train_seg import train_seg
    from qaclims_path.recipes.train_seg_options import load_seg_options

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
    report = train_seg(load_seg_options(config, settings or ()), root, out, masks=masks, running=running)
    if as_json:
        print_json(report)
    else:
        print_parts(seg_table(report))
