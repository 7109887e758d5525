"""`qaclims answerer`: measure whether an answerer recognises the classes, before building a corpus with it."""

from typing import Annotated

import typer

from qaclims_path.cli.options import CardFile, Dataset, Device, Json, Root, chosen_card, new_app

app = new_app("Models that answer questions about images: probe.")


@app.command()
def probe(
    answerer: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="KIND:MODEL, such as blip:Salesforce/blip-vqa-base, chat:FOLDER, retrieval:JUDGE or file:CORPUS.",
        ),
    ],
    root: Root,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[
        str | None, typer.Option(help="Split to ask about; the first with image-level labels if not given.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Images to ask about, spread over the split.")] = 64,
    named: Annotated[
        bool, typer.Option("--named", help="Name the class in the question, as a corpus does, instead of hiding it.")
    ] = False,
    bank: Annotated[str | None, typer.Option(help="Question bank, by name or path.")] = None,
    organ: Annotated[
        str | None, typer.Option(help="Organ of the questions and terms, or none; that of the card if not given.")
    ] = None,
    lexicon: Annotated[str | None, typer.Option(help="Lexicon, by name or path, or none.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="Number format: auto, float32, bfloat16 or float16.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images that the model looks at together.")] = 8,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that images are resized to (blip: 480 as published).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how often answers name a class of the image, by kind and topic, and how fast they come.

    Questions hide the class, so that no answer can repeat it from its question. Exit code 3 when some images could not
    be read.

    Example: `qaclims answerer probe blip:Salesforce/blip-vqa-base --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import answerer_view
    from qaclims_path.pipeline.answerer.probe import ProbeOptions, answerer_of, probe_answerer, words_of

    words = words_of(chosen_card(dataset, card), bank=bank, lexicon=lexicon, organ=organ)
    loaded = answerer_of(answerer, words, revision=revision, device=device, dtype=dtype, batch=batch, size=size)
    report = probe_answerer(loaded, words, root, ProbeOptions(split, images, batch, blind=not named))
    show(report, answerer_view, as_json=as_json, failed=report.unread)
