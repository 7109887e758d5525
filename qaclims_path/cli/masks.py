"""`qaclims masks`: from the maps of a split to pseudo masks."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.kept import with_kept
from qaclims_path.cli.options import Device, Json, OtherDataset, Protocol, Root, Score, Split, Threads, new_app
from qaclims_path.pipeline.masks.options import MaskOptions

app = new_app()


@app.command()
@with_options("chosen", MaskOptions, leave_out=["band"])
def masks(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, with its maps in cams/SPLIT.")],
    split: Split,
    root: Root,
    *,
    band: Annotated[
        tuple[float, float] | None, typer.Option(help="Lower and upper threshold between which training masks are 255.")
    ] = None,
    chosen: Chosen[MaskOptions],
    maps: Annotated[Path | None, typer.Option(help="Folder of the maps, instead of RUN/cams/SPLIT.")] = None,
    dataset: OtherDataset = None,
    protocol: Protocol = None,
    score: Score = True,
    device: Device = "auto",
    threads: Threads = 1,
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/masks/SPLIT if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Turn activation maps into pseudo masks.

    Three PNG files per image: `labels` to score, `training` with 255 where nothing is to be learned, and `confidence`;
    the first two in the codes and colours of the data set. An interrupted command continues when it is run again. No
    threshold is ever chosen on the image that it is used for. A run begun with `published: true` gives the refiner and
    the other settings that are not named here.

    Example: `qaclims masks runs/cam --split train --root BCSS-WSSS --refiner par`
    """
    from qaclims_path.cli.views.split import masks_view, show_split
    from qaclims_path.pipeline.masks.split import split_of_maps

    chosen = with_kept(chosen, run, "masks")
    options = chosen.options(**({} if band is None else {"band": band}))
    images = split_of_maps(run, root, split, dataset=dataset, protocol=protocol, maps=maps)
    from qaclims_path.pipeline.evaluation.stages import score_masks
    from qaclims_path.pipeline.masks.make import make_masks

    report = make_masks(run, images, options, maps=maps, out=out, device=device, threads=threads)
    scores = score_masks(Path(report.folder), images) if score else None
    show_split(report, scores, masks_view, as_json=as_json)
