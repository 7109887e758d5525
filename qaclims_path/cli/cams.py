"""`qaclims cams`: the maps of a split."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import FINISHED_WITH_FAILURES, Precision, UsePrecision, scales_of


class Classes(StrEnum):
    """Which classes get a map."""

    present = "present"
    predicted = "predicted"
    all = "all"


def cams(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training, with its network in cam/.")],
    split: Annotated[str, typer.Option(help="Split of the data set.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    classes: Annotated[
        Classes,
        typer.Option(help="Maps of the classes present, of those that the network predicts for the image, or of all."),
    ] = Classes.present,
    scales: Annotated[str, typer.Option(help="Factors, each with its mirror image.")] = "1,0.5,1.5,2",
    precision: UsePrecision = Precision.auto,
    batch: Annotated[int, typer.Option(min=1, help="Images of 224 px at a time; of larger ones fewer.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dataset: Annotated[str | None, typer.Option(help="Name or card of the data set; that of the run if not given.")] = (
        None
    ),
    protocol: Annotated[str | None, typer.Option(help="How to score; the card's first protocol if not given.")] = None,
    score: Annotated[bool, typer.Option(help="Score against the masks of a split that has them.")] = True,
    overlays: Annotated[int, typer.Option(min=0, help="How many images to draw as pictures.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where to write; RUN/cams/SPLIT if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make the maps of every image of a split: four scales and mirror images, merged as published.

    Stored as fp16 at every fourth pixel, many images to a file. A command that was stopped goes on when it is run
    again. Where the split has masks, the maps are scored at once, at every threshold where the protocol has background.

    Example: `qaclims cams runs/cam --split train --root BCSS-WSSS --overlays 20`
    """
    from qaclims_path.cli.views.split import cams_tables, show_split
    from qaclims_path.data.cards import card_of
    from qaclims_path.data.split import open_split
    from qaclims_path.pipeline.cam.maps import MapOptions, make_cams
    from qaclims_path.pipeline.cam.overlays import draw_overlays
    from qaclims_path.pipeline.evaluation.stages import score_cams

    options = MapOptions(
        classes=classes.value, scales=scales_of(scales), precision=precision.value, batch=batch, device=device
    )
    images = open_split(card_of(run, dataset), root, split, protocol)
    report = make_cams(run, images, options, out=out)
    if overlays:
        draw_overlays(Path(report.folder), images, overlays)
    scores = score_cams(Path(report.folder), images) if score else None
    show_split(report, scores, cams_tables, as_json=as_json)
    if report.failed:
        raise typer.Exit(FINISHED_WITH_FAILURES)
