"""`qaclims masks`: from the maps of a split to pseudo masks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Device, Json, OtherDataset, Protocol, Root, Score, Split, Threads, new_app

app = new_app()


class Crf(StrEnum):
    """Settings of the dense CRF."""

    auto = "auto"
    photo = "photo"
    segmenter = "segmenter"
    tissue = "tissue"


class Unary(StrEnum):
    """What the dense CRF begins with."""

    labels = "labels"
    maps = "maps"


class Glass(StrEnum):
    """Labels of white glass."""

    protocol = "protocol"
    keep = "keep"


@app.command()
def masks(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its maps in cams/SPLIT.")],
    split: Split,
    root: Root,
    refiner: Annotated[str, typer.Option(help="none, par, crf, irn, or one of another package.")] = "none",
    threshold: Annotated[
        str, typer.Option(help="Of background: a number, protocol, or cross-fitted on the images of other patients.")
    ] = "protocol",
    band: Annotated[
        tuple[float, float] | None, typer.Option(help="Lower and upper threshold between which training masks are 255.")
    ] = None,
    least: Annotated[float, typer.Option(min=0, max=1, help="Least confidence of a training mask.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of pixel-adaptive refinement.")] = 10,
    crf: Annotated[Crf, typer.Option(help="Settings of the dense CRF; auto goes by the domain.")] = Crf.auto,
    unary: Annotated[Unary, typer.Option(help="What the dense CRF begins with.")] = Unary.labels,
    glass: Annotated[Glass, typer.Option(help="White glass: as the protocol has it, or as the maps do.")] = (
        Glass.protocol
    ),
    maps: Annotated[Path | None, typer.Option(help="Folder of the maps, instead of RUN/cams/SPLIT.")] = None,
    dataset: OtherDataset = None,
    protocol: Protocol = None,
    score: Score = True,
    device: Device = "auto",
    threads: Threads = 1,
    batch: Annotated[int, typer.Option(min=1, help="Images of 224 px at a time; of larger ones fewer.")] = 16,
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/masks/SPLIT if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Turn activation maps into pseudo masks.

    Three PNG files per image: `labels` to score, `training` with 255 where nothing is to be learned, and `confidence`;
    the first two in the codes and colours of the data set. An interrupted command continues when it is run again. No
    threshold is ever chosen on the image that it is used for.

    Example: `qaclims masks runs/cam --split train --root BCSS-WSSS --refiner par`
    """
    from qaclims_path.cli.views.split import masks_view, show_split
    from qaclims_path.config import parse
    from qaclims_path.pipeline.evaluation.stages import score_masks
    from qaclims_path.pipeline.masks.make import make_masks, split_of_maps
    from qaclims_path.pipeline.masks.options import MaskOptions

    given = {
        "refiner": refiner,
        "threshold": threshold,
        "band": band,
        "least": least,
        "rounds": rounds,
        "crf": crf.value,
        "unary": unary.value,
        "glass": glass.value,
        "batch": batch,
    }
    options = parse(MaskOptions, given, "options")
    images = split_of_maps(run, root, split, dataset=dataset, protocol=protocol, maps=maps)
    report = make_masks(run, images, options, maps=maps, out=out, device=device, threads=threads)
    scores = score_masks(Path(report.folder), images) if score else None
    show_split(report, scores, masks_view, as_json=as_json)
