"""`qaclims slides`: the size and levels of slides, and tiles that are cut from them."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import Json, Part, new_app
from qaclims_path.files.shards import Shard
from qaclims_path.pipeline.tiling.options import TileOptions, WorkOptions

app = new_app("Whole slides: info, tile.")

SlideMpp = Annotated[
    float | None,
    typer.Option(help="Pixel size in micrometres of slides that do not state it themselves (0.25 for a 40x scan)."),
]


@app.command()
def info(
    slide: Annotated[str, typer.Argument(metavar="SLIDE", help="A slide, or a folder of DICOM instances.")],
    backend: Annotated[
        str, typer.Option(help="Reader: auto, openslide, tiffslide, tiff, or another that is installed.")
    ] = "auto",
    slide_mpp: SlideMpp = None,
    as_json: Json = False,
) -> None:
    """Show the size, pixel size and levels of a slide.

    Example: `qaclims slides info case-1.svs`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.slides import info_view
    from qaclims_path.pipeline.tiling.info import slide_info

    show(slide_info(slide, backend=backend, mpp=slide_mpp), info_view, as_json=as_json)


@app.command()
@with_options(
    "chosen",
    TileOptions,
    leave_out=("mpp", "stride", "tissue"),
    names={"pens": "--drop-pens", "blur": "--drop-blur", "masks": "--masks"},
)
@with_options("hardware", WorkOptions, leave_out=["shard"])
def tile(
    slides: Annotated[
        list[str],
        typer.Argument(
            metavar="SLIDE...",
            help="Slides, DICOM folders, folders of slides, or a CSV with the column slide (and patient, mpp, split, "
            "labels).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command continues where it stopped.")],
    *,
    mpp: Annotated[float | None, typer.Option(help="Pixel size of the tiles in micrometres.")] = None,
    magnification: Annotated[float | None, typer.Option(help="The same as a magnification: 20 is 0.5 um.")] = None,
    stride: Annotated[
        float | None, typer.Option(help="Pixels from one tile to the next; the size if not given.")
    ] = None,
    overlap: Annotated[float | None, typer.Option(help="Share by which neighbours overlap, instead of --stride.")] = (
        None
    ),
    tissue: Annotated[str, typer.Option(help="otsu, none, or a mask, GeoJSON, or folder of these.")] = "otsu",
    chosen: Chosen[TileOptions],
    slide_mpp: SlideMpp = None,
    roi: Annotated[Path | None, typer.Option(help="GeoJSON of the regions to tile, or a folder of them.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="QuPath GeoJSON, a folder with one per slide, or a CSV with slide,labels.")
    ] = None,
    shard: Part = "1/1",
    hardware: Chosen[WorkOptions],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Cut tiles from slides; the folder is a data set. Exit code 3 when some slides failed, 1 when all.

    Example: `qaclims slides tile slides --out tiles --mpp 0.5 --size 224 --labels annotations --annotations sparse`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.slides import plan_view, tile_view
    from qaclims_path.pipeline.tiling import tile as tiling
    from qaclims_path.slides.grid import mpp_of, stride_of

    options = chosen.options(
        mpp=mpp_of(mpp, magnification),
        stride=stride_of(chosen.values["size"], stride, overlap),
        tissue=tissue if tissue in ("otsu", "none") else "file",
    )
    inputs = tiling.TileInputs(tuple(slides), slide_mpp, labels, roi, tissue)
    work = hardware.options(shard=Shard.parse(shard))
    if dry_run:
        plans = tiling.plan(inputs, out, options, work)
        failed = sum(bool(plan.error) for plan in plans)
        show(plans, plan_view, as_json=as_json, failed=failed, all_failed=failed == len(plans))
        return
    report = tiling.tile(inputs, out, options, work)
    show(report, tile_view, as_json=as_json, failed=report.failed, all_failed=report.failed == report.tiled)
