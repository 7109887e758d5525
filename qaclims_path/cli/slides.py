"""`qaclims slides`: what a slide says of itself, and tiles from slides."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.errors import UsageError
from qaclims_path.files.shards import Shard

if TYPE_CHECKING:
    from qaclims_path.pipeline.tiling.options import TileOptions
    from qaclims_path.pipeline.tiling.tile import TileInputs, WorkOptions

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Whole slides: what they hold, and tiles from them."
)

Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Backend = Annotated[str, typer.Option(help="Reader: auto, openslide, tiffslide, tiff, or another that is installed.")]
SlideMpp = Annotated[
    float | None,
    typer.Option(help="Pixel size in micrometres of slides that do not say it themselves (0.25 for a 40x scan)."),
]


@app.command()
def info(
    slide: Annotated[str, typer.Argument(metavar="SLIDE", help="A slide, or a folder of DICOM instances.")],
    backend: Backend = "auto",
    slide_mpp: SlideMpp = None,
    as_json: Json = False,
) -> None:
    """Show what a slide says of itself: size, pixel size, levels.

    Example: `qaclims slides info case-1.svs`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.tiling.info import slide_info

    report = slide_info(slide, backend=backend, mpp=slide_mpp)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.slides import info_view

        print_parts(info_view(report))


@app.command()
def tile(
    slides: Annotated[
        list[str],
        typer.Argument(
            metavar="SLIDE...",
            help="Slides, DICOM folders, folders of slides, or a CSV with the column slide (and patient, mpp, split, "
            "labels).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    mpp: Annotated[float | None, typer.Option(help="Pixel size of the tiles in micrometres.")] = None,
    magnification: Annotated[float | None, typer.Option(help="The same as a magnification: 20 is 0.5 um.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Width and height of a tile in pixels.")] = 224,
    stride: Annotated[float | None, typer.Option(help="Pixels from one tile to the next; the size, if not given.")] = (
        None
    ),
    overlap: Annotated[float | None, typer.Option(help="Share by which neighbours overlap, instead.")] = None,
    min_tissue: Annotated[float, typer.Option(help="Least share of a tile that is tissue.")] = 0.5,
    tissue: Annotated[str, typer.Option(help="otsu, none, or a mask, GeoJSON, or folder of these.")] = "otsu",
    pens: Annotated[bool, typer.Option("--drop-pens", help="Leave out marks of pens.")] = False,
    blur: Annotated[bool, typer.Option("--drop-blur", help="Leave out tissue that is out of focus.")] = False,
    slide_mpp: SlideMpp = None,
    roi: Annotated[Path | None, typer.Option(help="GeoJSON of the regions to tile, or a folder of them.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="QuPath GeoJSON, a folder with one per slide, or a CSV with slide,labels.")
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Draw the regions of --labels as masks of the validation and test tiles.")
    ] = False,
    present_from: Annotated[float, typer.Option(help="Share of a tile from which a class is present.")] = 0.05,
    split_by: Annotated[str, typer.Option(help="What goes to one split as a whole: patient or slide.")] = "patient",
    split_shares: Annotated[str, typer.Option(help="Shares of training, validation and test.")] = "0.7,0.15,0.15",
    write: Annotated[str, typer.Option(help="Write the pixels: none, jpeg, png or webp.")] = "none",
    stain: Annotated[str, typer.Option(help="Normalise the stain: none, macenko or reinhard.")] = "none",
    backend: Backend = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    shard: Annotated[str, typer.Option(help="Do part i of n, as 2/8: for job arrays that share --out.")] = "1/1",
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster that is running.")] = "local",
    seed: Annotated[int, typer.Option(min=0, help="Of the splits and the stain fits.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Cut tiles from slides; the folder that is written is a data set. Exit code 3 when some slides failed, 1 when all.

    Example: `qaclims slides tile slides --out tiles --mpp 0.5 --size 224 --labels annotations`
    """
    from qaclims_path.config import parse
    from qaclims_path.pipeline.tiling.options import TileOptions
    from qaclims_path.pipeline.tiling.tile import TileInputs, WorkOptions
    from qaclims_path.slides.grid import mpp_of, stride_of

    options = parse(
        TileOptions,
        {
            "mpp": mpp_of(mpp, magnification),
            "size": size,
            "stride": stride_of(size, stride, overlap),
            "min_tissue": min_tissue,
            "tissue": tissue if tissue in ("otsu", "none") else "file",
            "pens": pens,
            "blur": blur,
            "present_from": present_from,
            "split_by": split_by,
            "split_shares": _shares(split_shares),
            "write": write,
            "stain": stain,
            "masks": masks,
            "backend": backend,
            "seed": seed,
        },
        "The options",
    )
    inputs = TileInputs(tuple(slides), slide_mpp, labels, roi, tissue)
    work = WorkOptions(workers, Shard.parse(shard), engine)
    if dry_run:
        _plan(inputs, out, options, work, as_json=as_json)
    else:
        _tile(inputs, out, options, work, as_json=as_json)


def _tile(inputs: "TileInputs", out: Path, options: "TileOptions", work: "WorkOptions", *, as_json: bool) -> None:
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.tiling.tile import tile as run

    report = run(inputs, out, options, work)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.slides import tile_view

        print_parts(tile_view(report))
    if report.failed:
        raise typer.Exit(1 if report.failed == report.tiled else 3)


def _plan(inputs: "TileInputs", out: Path, options: "TileOptions", work: "WorkOptions", *, as_json: bool) -> None:
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.tiling.tile import plan as run

    plans = run(inputs, out, options, work)
    if as_json:
        print_json([vars(plan) for plan in plans])
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.slides import plan_view

        print_parts(plan_view(plans))
    failed = sum(bool(plan.error) for plan in plans)
    if failed:
        raise typer.Exit(1 if failed == len(plans) else 3)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--split-shares {text} should be three numbers such as 0.7,0.15,0.15.") from error
