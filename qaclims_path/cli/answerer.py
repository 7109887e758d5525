"""`qaclims answerer`: measure whether an answerer recognises the classes, before building a corpus with it."""

from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import CardFile, Dataset, Json, Root, chosen_card, new_app
from qaclims_path.pipeline.answerer.options import ProbeOptions

app = new_app("Models that answer questions about images: probe.")


@app.command()
@with_options("chosen", ProbeOptions, names={"named": "--named"})
def probe(
    answerer: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="KIND:MODEL, such as blip:Salesforce/blip-vqa-base, chat:FOLDER, retrieval:JUDGE or file:CORPUS.",
        ),
    ],
    root: Root,
    *,
    dataset: Dataset = None,
    card: CardFile = None,
    chosen: Chosen[ProbeOptions],
    as_json: Json = False,
) -> None:
    """Measure how often answers name a class of the image, by kind and topic, and how fast they come.

    Questions hide the class, so that no answer can repeat it from its question. Exit code 3 when some images could not
    be read.

    Example: `qaclims answerer probe blip:Salesforce/blip-vqa-base --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import answerer_view
    from qaclims_path.pipeline.answerer.probe import answerer_of, probe_answerer, probed_images, words_of

    options = chosen.options()
    words = words_of(chosen_card(dataset, card), options)
    probed_images(words.card, root, options)  # wrong folders are refused before the answerer is loaded
    report = probe_answerer(answerer_of(answerer, words, options), words, root, options)
    show(report, answerer_view, as_json=as_json, failed=report.unread)
