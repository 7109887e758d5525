"""`qaclims train`: networks of activation maps, of boundaries, and segmenters."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen
from qaclims_path.cli.kept import kept_boundary
from qaclims_path.cli.options import Json, OtherDataset, Recipe, Root, Threads, new_app, override, protocol_names
from qaclims_path.cli.running import run_settings, with_running, with_running_on_one_machine
from qaclims_path.engine.settings import RunSettings

app = new_app("Train networks: cam, boundary, seg.")


@app.command()
@with_running
def cam(
    config: Recipe,
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished training continues.")],
    *,
    corpus: Annotated[Path | None, typer.Option(help="Corpus, for methods that learn from answers.")] = None,
    settings: Annotated[list[str] | None, override("cam.train.epochs=5")] = None,
    running: Chosen[RunSettings],
    as_json: Json = False,
) -> None:
    """Train a network whose maps show where the classes are, from image-level labels and, on request, language.

    Example: `qaclims train cam bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set cam.train.epochs=5`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import cam_view
    from qaclims_path.pipeline.cam.checks import check_training
    from qaclims_path.pipeline.run.options import load_run

    options, hardware = load_run(config, settings or ()).training_of_maps, run_settings(running, quiet=as_json)
    check_training(options, root, out, corpus)
    from qaclims_path.pipeline.cam.train import train_cam  # imports torch, when nothing is wrong

    report = train_cam(options, root, out, corpus=corpus, running=hardware)
    show(report, cam_view, as_json=as_json)


@app.command()
@with_running_on_one_machine
def boundary(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its maps in cams/SPLIT.")],
    root: Root,
    *,
    split: Annotated[str | None, typer.Option(help="Split whose maps are learned from; train if not given.")] = None,
    dataset: OtherDataset = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Protocol that says whether there is background; the first of the card if not given.",
            autocompletion=protocol_names,
        ),
    ] = None,
    settings: Annotated[list[str] | None, override("masks.boundary.train.epochs=5")] = None,
    threads: Threads = 1,
    running: Chosen[RunSettings],
    as_json: Json = False,
) -> None:
    """Train the boundary network of the refiner irn, from the confident parts of the maps.

    Labels are made first, with two thresholds and a dense CRF. Only the edge branch of IRN is trained, on the backbone
    of the run or another one; class masks do not need its displacement branch. A run begun with `published: true` gives
    its split and the settings that are not named here.

    Example: `qaclims train boundary runs/cam --root VOC2012 --split train_aug`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import boundary_view
    from qaclims_path.pipeline.masks.options import load_boundary_options
    from qaclims_path.pipeline.masks.split import split_of_maps

    options = load_boundary_options(settings or (), split, kept_boundary(run, settings or (), split))
    hardware = run_settings(running, quiet=as_json)
    images = split_of_maps(run, root, options.split, dataset=dataset, protocol=protocol)
    from qaclims_path.pipeline.masks.boundary import train_boundary

    show(train_boundary(run, images, options, running=hardware, threads=threads), boundary_view, as_json=as_json)


@app.command()
@with_running
def seg(
    config: Recipe,
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the run; the segmenter goes to its seg/.")],
    *,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks; OUT/masks/SPLIT if not given.")] = None,
    settings: Annotated[list[str] | None, override("seg.train.epochs=5")] = None,
    running: Chosen[RunSettings],
    as_json: Json = False,
) -> None:
    """Train a segmenter on pseudo masks.

    Masks and their confidence are those of `qaclims masks`, options those of the section `seg` of the recipe. With
    `--set seg.truth=true` it learns from the true masks of a split that has them, as the supervised reference. An
    unfinished training continues.

    Example: `qaclims train seg bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set seg.train.epochs=5`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import seg_view
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.segmenter.checks import check_training

    options, hardware = load_run(config, settings or ()).seg, run_settings(running, quiet=as_json)
    check_training(options, root, out, masks)
    from qaclims_path.pipeline.segmenter.train import train_seg

    report = train_seg(options, root, out, masks=masks, running=hardware)
    show(report, seg_view, as_json=as_json)
