"""`qaclims predict`: the labels of a split from a trained segmenter."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.kept import with_kept
from qaclims_path.cli.options import Json, Root, Score, Split, dataset_names, new_app, protocol_names
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions

app = new_app()


@app.command()
@with_options("chosen", PredictOptions)
def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter, or its name on the hub.")
    ],
    split: Split,
    root: Root,
    *,
    chosen: Chosen[PredictOptions],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name or card of the data set; that of the model if not given.", autocompletion=dataset_names
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="How predictions are scored; as the model was trained for if not given.", autocompletion=protocol_names
        ),
    ] = None,
    score: Score = True,
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/seg/predictions/SPLIT if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Label every image of a split with a trained segmenter.

    Labels are scored where the split has masks; no gate is used. An interrupted command continues when it is run again.
    Slides are for `qaclims segment`. A run begun with `published: true` gives the scales, the CRF and what else its
    section `evaluate` says of predictions, where they are not named here.

    Example: `qaclims predict runs/cam --split test --root BCSS-WSSS --flip`
    """
    from qaclims_path.cli.views.split import predict_view, show_split
    from qaclims_path.pipeline.segmenter.split import split_of_segmenter

    images = split_of_segmenter(run, root, split, dataset=dataset, protocol=protocol)
    from qaclims_path.pipeline.evaluation.stages import score_labels
    from qaclims_path.pipeline.segmenter.predict import predict as label

    report = label(run, images, with_kept(chosen, Path(run), "evaluate").options(), out=out)
    scores = score_labels(Path(report.folder), images) if score else None
    show_split(report, scores, predict_view, as_json=as_json)
