"""`qaclims evaluate`: score a folder of predictions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import CardFile, Dataset, Json, Protocol, Root, chosen_card, new_app

app = new_app()


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


@app.command()
def evaluate(
    pred: Annotated[
        Path,
        typer.Argument(metavar="PRED", help="Folder of predictions: PNG or TIFF label maps, .npz scores, or maps."),
    ],
    root: Root,
    split: Annotated[str, typer.Option(help="A split with masks.")],
    dataset: Dataset = None,
    card: CardFile = None,
    protocol: Protocol = None,
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
    as_json: Json = False,
) -> None:
    """Score predictions under a named protocol.

    One confusion matrix over the split gives IoU, Dice, precision and recall, with 95 % intervals over images. Nothing
    is scored while a prediction is missing, extra, of the wrong size, wrongly coded or unreadable: all are listed.

    Example: `qaclims evaluate predictions --dataset bcss-wsss --root BCSS-WSSS --split test --protocol mlps`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.split import scores_view
    from qaclims_path.pipeline.evaluation.evaluate import evaluate as score

    report = score(
        pred,
        chosen_card(dataset, card),
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
    show(report, scores_view, as_json=as_json, failed=report.missing)
