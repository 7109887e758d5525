"""`qaclims predict`: labels of a split from a segmenter."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import FINISHED_WITH_FAILURES, Precision, UsePrecision, scales_of


class Write(StrEnum):
    """What is written."""

    labels = "labels"
    scores = "scores"


def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter, or its name on the hub.")
    ],
    split: Annotated[str, typer.Option(help="Split of the data set.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    scales: Annotated[str, typer.Option(help="Factors at which images are looked at.")] = "1",
    flip: Annotated[bool, typer.Option(help="Look at mirror images, too.")] = False,
    window: Annotated[
        int | None, typer.Option(min=32, help="Look at larger images through half overlapping squares of this side.")
    ] = None,
    write: Annotated[Write, typer.Option(help="PNG label maps, or class scores as .npz.")] = Write.labels,
    precision: UsePrecision = Precision.auto,
    batch: Annotated[int, typer.Option(min=1, help="Images of 224 px at a time; of larger ones fewer.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dataset: Annotated[str | None, typer.Option(help="Name or card; that of the model if not given.")] = None,
    protocol: Annotated[str | None, typer.Option(help="How to score; that of the training if not given.")] = None,
    score: Annotated[bool, typer.Option(help="Score against the masks of a split that has them.")] = True,
    out: Annotated[Path | None, typer.Option(help="Where to write; RUN/seg/predictions/SPLIT if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Label every image of a split with a trained segmenter, and score the labels where the split has masks.

    A command that was stopped goes on when it is run again. No gate is used. Slides are for `qaclims segment`.

    Example: `qaclims predict runs/cam --split test --root BCSS-WSSS --flip`
    """
    from qaclims_path.cli.views.split import predict_tables, show_split
    from qaclims_path.pipeline.evaluation.stages import score_labels
    from qaclims_path.pipeline.segmenter.predict import PredictOptions, split_of_segmenter
    from qaclims_path.pipeline.segmenter.predict import predict as label

    options = PredictOptions(
        write=write.value,
        scales=scales_of(scales),
        flip=flip,
        window=window,
        precision=precision.value,
        batch=batch,
        device=device,
    )
    images = split_of_segmenter(run, root, split, dataset=dataset, protocol=protocol)
    report = label(run, images, options, out=out)
    scores = score_labels(Path(report.folder), images) if score else None
    show_split(report, scores, predict_tables, as_json=as_json)
    if report.failed:
        raise typer.Exit(FINISHED_WITH_FAILURES)
