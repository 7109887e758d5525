"""`qaclims evaluate`: score a folder of predictions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import FINISHED_WITH_FAILURES
from qaclims_path.errors import UsageError


class What(StrEnum):
    """What the predictions are."""

    cams = "cams"
    masks = "masks"
    seg = "seg"


class MadeWith(StrEnum):
    """The gate that finished label maps were made with."""

    none = "none"
    oracle = "oracle"
    predicted = "predicted"


def evaluate(
    pred: Annotated[Path, typer.Argument(help="Folder of predictions: PNG or TIFF label maps, .npz scores, or maps.")],
    root: Annotated[Path, typer.Option(help="The data as its publisher lays it out.")],
    split: Annotated[str, typer.Option(help="A split with masks.")],
    dataset: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    card: Annotated[Path | None, typer.Option(help="Card of a data set of your own, instead of --dataset.")] = None,
    protocol: Annotated[str | None, typer.Option(help="How to score; the card's first protocol if not given.")] = None,
    gate: Annotated[
        str | None, typer.Option(help="none, oracle, or a CSV of class probabilities; for class scores only.")
    ] = None,
    made_with_gate: Annotated[MadeWith | None, typer.Option(help="Label the table; changes no number.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Count images without a prediction as wrong.")
    ] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="Score every threshold of class scores too.")] = False,
    bootstrap: Annotated[int, typer.Option(min=0, help="Replicates of the 95 % intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals.")] = 0,
    what: Annotated[What | None, typer.Option(help="What the predictions are, for metrics.json.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json and the tables.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score predictions under a named protocol.

    One confusion matrix over the split gives IoU, Dice, precision and recall, with 95 % intervals over images. Nothing
    is scored while a prediction is missing, extra, of the wrong size, wrongly coded or unreadable: all are listed.

    Example: `qaclims evaluate predictions --dataset bcss-wsss --root BCSS-WSSS --split test --protocol mlps`
    """
    if (dataset is None) == (card is None):
        raise UsageError("Give either --dataset NAME or --card FILE.")
    from qaclims_path.cli.views.console import console, print_json
    from qaclims_path.pipeline.evaluation.evaluate import evaluate as score
    from qaclims_path.report.scores import score_tables

    report = score(
        pred,
        card.resolve() if card else str(dataset),
        root,
        split,
        protocol=protocol,
        gate=gate,
        made_with_gate=made_with_gate.value if made_with_gate else None,
        allow_missing=allow_missing,
        out=out,
        what=what.value if what else None,
        bootstrap=bootstrap,
        seed=seed,
        sweep=sweep,
    )
    if as_json:
        print_json(report.as_json())
    else:
        console().print(*score_tables(report), sep="\n\n")
    if report.missing:
        raise typer.Exit(FINISHED_WITH_FAILURES)
