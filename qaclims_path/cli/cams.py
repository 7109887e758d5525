"""`qaclims cams`: the activation maps of a split."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.kept import with_kept
from qaclims_path.cli.options import Json, OtherDataset, Protocol, Root, Score, Split, new_app
from qaclims_path.pipeline.cam.map_options import MapOptions

app = new_app()


@app.command()
@with_options("chosen", MapOptions)
def cams(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its network in cam/.")],
    split: Split,
    root: Root,
    *,
    chosen: Chosen[MapOptions],
    dataset: OtherDataset = None,
    protocol: Protocol = None,
    score: Score = True,
    overlays: Annotated[int, typer.Option(min=0, help="Images to draw with their maps.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/cams/SPLIT if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Make the activation maps of every image of a split.

    Maps of four scales and their mirror images are merged as published, and stored as fp16 at every fourth pixel, many
    images to a file. An interrupted command continues when it is run again. Where the split has masks, the maps are
    scored, at every threshold where the protocol has background. A run begun with `published: true` gives the scales
    and the grid that are not named here.

    Example: `qaclims cams runs/cam --split train --root BCSS-WSSS --overlays 20`
    """
    from qaclims_path.cli.views.split import cams_view, show_split
    from qaclims_path.data.cards import card_of
    from qaclims_path.data.split import open_split
    from qaclims_path.models.cam_folder import network_folder, read_settings

    chosen = with_kept(chosen, run, "cams")
    images = open_split(card_of(run, dataset), root, split, protocol)
    read_settings(network_folder(run))  # a folder without a network is refused before torch is imported
    from qaclims_path.pipeline.cam.maps import make_cams
    from qaclims_path.pipeline.cam.overlays import draw_overlays
    from qaclims_path.pipeline.evaluation.stages import score_cams

    report = make_cams(run, images, chosen.options(), out=out)
    if overlays:
        draw_overlays(Path(report.folder), images, overlays)
    scores = score_cams(Path(report.folder), images) if score else None
    show_split(report, scores, cams_view, as_json=as_json)
