"""`qaclims train`: networks of activation maps, of boundaries, and segmenters."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, OtherDataset, Recipe, Root, Threads, new_app
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

app = new_app("Train networks: cam, boundary, seg.")


@app.command()
def cam(
    config: Recipe,
    root: Root,
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
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override: cam.train.epochs=5.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network whose maps show where the classes are, from image-level labels and, on request, language.

    Example: `qaclims train cam bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set cam.train.epochs=5`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import cam_view
    from qaclims_path.pipeline.cam.options import load_options
    from qaclims_path.pipeline.cam.train import train_cam

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
    show(report, cam_view, as_json=as_json)


@app.command()
def boundary(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its maps in cams/SPLIT.")],
    root: Root,
    split: Annotated[str, typer.Option(help="Split whose maps are learned from.")] = "train",
    dataset: OtherDataset = None,
    protocol: Annotated[str | None, typer.Option(help="Says whether there is background; the card's first.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override: masks.boundary.train.epochs=5, masks.boundary.radius=8."),
    ] = None,
    devices: Devices = None,
    precision: TrainPrecision = Precision.auto,
    workers: Workers = None,
    save_every: SaveEvery = 0,
    keep_every: KeepEvery = 0,
    logger: Loggers = None,
    compiled: Compile = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Learn where one class ends and another begins, from the parts of the maps that are sure, as IRN does.

    Labels are made first, with two thresholds and a dense CRF. Only the edge branch is trained, on the backbone of the
    run or another one; the displacement branch of IRN is not built, because class masks do not need it.

    Example: `qaclims train boundary runs/cam --root VOC2012 --split train_aug`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import boundary_view
    from qaclims_path.pipeline.masks.boundary import load_boundary_options, train_boundary
    from qaclims_path.pipeline.masks.make import split_of_maps

    options = load_boundary_options(settings or (), split)
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
    images = split_of_maps(run, root, options.split, dataset=dataset, protocol=protocol)
    report = train_boundary(run, images, options, running=running, threads=threads)
    show(report, boundary_view, as_json=as_json)


@app.command()
def seg(
    config: Recipe,
    root: Root,
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
    as_json: Json = False,
) -> None:
    """Train a network that labels every pixel, on the masks that `qaclims masks` wrote, with their confidence.

    Its options are the section `seg` of the recipe. With `--set seg.truth=true` it learns from the true masks of a
    split that has them, for the supervised row of a table. An unfinished training goes on.

    Example: `qaclims train seg bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set seg.train.epochs=5`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import seg_view
    from qaclims_path.pipeline.segmenter.options import load_seg_options
    from qaclims_path.pipeline.segmenter.train import train_seg

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
    show(report, seg_view, as_json=as_json)
