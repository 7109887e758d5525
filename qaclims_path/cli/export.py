"""`qaclims export` and `qaclims push`: giving a segmenter away."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Of what is written."""

    monai = "monai"
    hub = "hub"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    format_: Annotated[
        Format, typer.Option("--format", help="A MONAI bundle, or the files of a model on the hub.")
    ] = Format.monai,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write the segmenter of a run with a card that states its data, licence, protocol and scores.

    A MONAI bundle labels a folder of images with `python -m monai.bundle run`, and needs segmentation-models-pytorch
    and timm beside MONAI, but not this package (DeepLabV2 does).

    Example: `qaclims export runs/cam --format monai --out bundle`
    """
    from qaclims_path.cli.views.console import console, print_json
    from qaclims_path.cli.views.training import export_table
    from qaclims_path.pipeline.segmenter.export import export as write

    report = write(run, out, format=format_.value)
    if as_json:
        print_json(report)
    else:
        console().print(export_table(report))


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter.")],
    repo: Annotated[str, typer.Argument(help="owner/name on the hub; made where it does not exist.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new repository.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Upload the segmenter of a run with its card to the hub, with the token in HF_TOKEN or of `hf auth login`.

    Check first that the licence of the data, which the card states, lets you pass on what was learnt from them.

    Example: `qaclims push runs/cam owner/breast-tissue`
    """
    from qaclims_path.cli.views.console import console, print_json
    from qaclims_path.cli.views.training import export_table
    from qaclims_path.pipeline.segmenter.export import push as upload

    report = upload(run, repo, private=not public)
    if as_json:
        print_json(report)
    else:
        console().print(export_table(report))
