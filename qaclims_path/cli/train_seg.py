"""`qaclims train seg`: a segmenter, from pseudo masks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """Of the arithmetic."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


def seg(
    config: Annotated[str, typer.Argument(help="A recipe such as bcss-wsss/qa-clims-path, or a YAML file.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the segmenter goes to its seg/.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of masks; OUT/masks/SPLIT if not given.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Processes per machine; all GPUs if not given.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines.")] = None,
    precision: Annotated[Precision, typer.Option(help="auto measures which is faster.")] = Precision.auto,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data, per device.")] = None,
    save_every: Annotated[int, typer.Option(min=0, help="Steps between checkpoints; 0 is one per epoch.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override: seg.train.epochs=5, seg.network.architecture=unet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a network that labels every pixel, on the masks that `qaclims masks` wrote, with their confidence.

    Its options are the section `seg` of the recipe. With `--set seg.truth=true` it learns from the true masks of a
    split that has them, for the supervised row of a table. An unfinished training goes on.

    Example: `qaclims train seg bcss-wsss/cam --root BCSS-WSSS --out runs/cam --set seg.train.epochs=5`
    """
    from qaclims_path.cli.show import console, print_json
    from qaclims_path.cli.show_seg import seg_table
    from qaclims_path.engine.settings import RunSettings
    from qaclims_path.recipes.train_seg import train_seg
    from qaclims_path.recipes.train_seg_options import load_seg_options

    running = RunSettings(
        devices=devices or "auto",
        nodes=nodes or "auto",
        precision=precision.value,
        workers="auto" if workers is None else workers,
        save_every=save_every,
        quiet=as_json,
    )
    report = train_seg(load_seg_options(config, settings or ()), root, out, masks=masks, running=running)
    if as_json:
        print_json(report)
    else:
        console().print(seg_table(report))
