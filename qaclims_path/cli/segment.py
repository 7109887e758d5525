"""`qaclims segment`: a trained segmenter on slides and images."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import FINISHED_WITH_FAILURES, Glass, Precision, UsePrecision
from qaclims_path.files.shards import Shard


class Kind(StrEnum):
    """What inputs are."""

    auto = "auto"
    slides = "slides"
    images = "images"


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
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    slide_mpp: Annotated[
        float | None, typer.Option(help="Pixel size in micrometres of slides and images that do not say it themselves.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Pixel size at which the model looks; that of its training if not given.")
    ] = None,
    tissue: Annotated[str, typer.Option(help="otsu, none, or a mask, GeoJSON, or folder of these.")] = "otsu",
    min_tissue: Annotated[float, typer.Option(help="Least share of a tile that is tissue.")] = 0.01,
    size: Annotated[int, typer.Option(help="Side of a tile in pixels of the model.")] = 512,
    overlap: Annotated[float, typer.Option(help="Share by which neighbouring tiles overlap.")] = 0.25,
    flip: Annotated[bool, typer.Option(help="Look at mirror images, too: slower, a little better.")] = False,
    glass: Annotated[
        Glass, typer.Option(help="White glass: no class where the model was trained without it, or keep the model's.")
    ] = Glass.protocol,
    confidence: Annotated[bool, typer.Option(help="Write confidence maps.")] = True,
    outline_um: Annotated[float, typer.Option(help="How far outlines may move when they are simplified.")] = 2.0,
    least_um2: Annotated[float, typer.Option(help="Smallest area and hole that is outlined.")] = 500.0,
    kind: Annotated[Kind, typer.Option(help="What inputs are; auto tells by the files.")] = Kind.auto,
    backend: Annotated[str, typer.Option(help="Reader of slides: auto, openslide, tiffslide, tiff.")] = "auto",
    precision: UsePrecision = Precision.auto,
    batch: Annotated[int | None, typer.Option(min=1, help="Tiles at a time.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda; several as cuda:0,cuda:1 share the slides.")] = "auto",
    shard: Annotated[str, typer.Option(help="Do part i of n, as 2/8: for job arrays that share --out.")] = "1/1",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Label every pixel of tissue on slides, or of images. Exit code 3 when some inputs failed, 1 when all.

    Slides get a class map and its confidence (OME-TIFF), outlines for QuPath (GeoJSON) and an overlay; images a label
    PNG. cohort.csv has the area of every class, a row per slide.

    Example: `qaclims segment runs/qa-clims-path slides --out maps`
    """
    from qaclims_path.cli.views.console import print_json, print_parts
    from qaclims_path.config import parse
    from qaclims_path.pipeline.inference.inputs import SegmentInputs
    from qaclims_path.pipeline.inference.options import SegmentOptions
    from qaclims_path.pipeline.inference.segment import ComputeOptions, segment

    options = parse(
        SegmentOptions,
        {
            "mpp": mpp,
            "size": size,
            "overlap": overlap,
            "tissue": tissue if tissue in ("otsu", "none") else "file",
            "min_tissue": min_tissue,
            "flip": flip,
            "glass": glass.value,
            "confidence": confidence,
            "outline_um": outline_um,
            "least_um2": least_um2,
            "precision": precision.value,
            "backend": backend,
            "kind": kind.value,
        },
        "The options",
    )
    work = ComputeOptions(device, batch, Shard.parse(shard))
    report = segment(model, SegmentInputs(tuple(inputs), slide_mpp, tissue), out, options, work)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.segment import segment_view

        print_parts(segment_view(report))
    if report.failed:
        raise typer.Exit(1 if report.failed == report.worked else FINISHED_WITH_FAILURES)
