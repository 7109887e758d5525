"""`qaclims export`: the segmenter of a run for others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


class Format(StrEnum):
    """Format of the written files."""

    monai = "monai"
    hub = "hub"


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    format_: Annotated[
        Format, typer.Option("--format", help="A MONAI bundle, or the files of a model on the hub.")
    ] = Format.monai,
    as_json: Json = False,
) -> None:
    """Write the segmenter of a run with its model card, as a MONAI bundle or for the hub.

    The card states data, licence, protocol and scores. A MONAI bundle labels a folder of images with
    `python -m monai.bundle run`; it needs segmentation-models-pytorch and timm beside MONAI, but not this package
    (DeepLabV2 does).

    Example: `qaclims export runs/cam --format monai --out bundle`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import export_view
    from qaclims_path.models.segmenters.spec import segmenter_in

    segmenter_in(run)  # a folder without a segmenter is refused before torch is imported
    from qaclims_path.pipeline.segmenter.export import export as write

    show(write(run, out, format=format_.value), export_view, as_json=as_json)
