"""`qaclims segment`: a trained segmenter on slides and images."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import Json, Part, new_app
from qaclims_path.files.shards import Shard
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions

app = new_app()


@app.command()
@with_options("chosen", SegmentOptions, leave_out=["tissue"])
@with_options("hardware", ComputeOptions, leave_out=["shard"])
def segment(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a run or of a segmenter, or its name on the hub.")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Slides, images, folders of either, or a CSV with the column slide (and patient, mpp).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command continues where it stopped.")],
    *,
    slide_mpp: Annotated[
        float | None,
        typer.Option(help="Pixel size in micrometres of slides and images that do not state it themselves."),
    ] = None,
    tissue: Annotated[str, typer.Option(help="otsu, none, or a mask, GeoJSON, or folder of these.")] = "otsu",
    chosen: Chosen[SegmentOptions],
    hardware: Chosen[ComputeOptions],
    shard: Part = "1/1",
    as_json: Json = False,
) -> None:
    """Segment whole slides or images with a trained segmenter.

    Slides get a class map and its confidence (OME-TIFF), outlines for QuPath (GeoJSON) and pictures; images a label
    PNG. cohort.html shows them all, and cohort.csv has the area of every class, a row per slide. Exit code 3 when some
    inputs failed, 1 when all.

    Example: `qaclims segment runs/qa-clims-path slides --out maps`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.segment import segment_view
    from qaclims_path.pipeline.inference.inputs import SegmentInputs
    from qaclims_path.pipeline.inference.segment import segment as run

    options = chosen.options(tissue=tissue if tissue in ("otsu", "none") else "file")
    work = hardware.options(shard=Shard.parse(shard))
    report = run(model, SegmentInputs(tuple(inputs), slide_mpp, tissue), out, options, work)
    show(report, segment_view, as_json=as_json, failed=report.failed, all_failed=report.failed == report.worked)
