"""`qaclims evaluate`: score a folder of predictions."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import CardFile, Dataset, Json, Protocol, Root, chosen_card, new_app
from qaclims_path.pipeline.evaluation.options import ScoreOptions

app = new_app()


@app.command()
@with_options("chosen", ScoreOptions, names={"allow_missing": "--allow-missing", "sweep": "--sweep"})
def evaluate(
    pred: Annotated[
        Path,
        typer.Argument(metavar="PRED", help="Folder of predictions: PNG or TIFF label maps, .npz scores, or maps."),
    ],
    root: Root,
    split: Annotated[str, typer.Option(help="A split with masks.")],
    *,
    dataset: Dataset = None,
    card: CardFile = None,
    protocol: Protocol = None,
    chosen: Chosen[ScoreOptions],
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json and the tables.")] = None,
    as_json: Json = False,
) -> None:
    """Score predictions under a named protocol.

    One confusion matrix over the split gives IoU, Dice, precision and recall, with 95 % intervals over patients (images
    where patients are not known). Nothing is scored while a prediction is missing, extra, of the wrong size, wrongly
    coded or unreadable: all are listed.

    Example: `qaclims evaluate predictions --dataset bcss-wsss --root BCSS-WSSS --split test --protocol mlps`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.split import scores_view
    from qaclims_path.pipeline.evaluation.evaluate import evaluate as score

    facts = chosen_card(dataset, card)
    options = chosen.options().model_dump()
    report = score(pred, facts, root, split, protocol=protocol, out=out, **options)
    show(report, scores_view, as_json=as_json, failed=report.missing)
