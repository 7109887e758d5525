"""`qaclims answerer`: whether an answerer sees what is in your images, before a corpus is spent on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.cli.options import card_of

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Models that answer questions about images: probe."
)


@app.callback()
def _group() -> None:
    """Models that answer questions about images: probe."""


@app.command()
def probe(
    answerer: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="KIND:MODEL, such as blip:Salesforce/blip-vqa-base, chat:FOLDER, retrieval:JUDGE or file:CORPUS.",
        ),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set, laid out as its publisher does.")],
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="As `qaclims datasets list` says.")] = None,
    card: Annotated[Path | None, typer.Option("--card", help="A card of your own, instead of --dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="The first with image-level labels where not given.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Ask about so many images, spread over the split.")] = 64,
    named: Annotated[
        bool, typer.Option("--named", help="Ask as a corpus does, with the class in the question; not blindly.")
    ] = False,
    bank: Annotated[str | None, typer.Option(help="Question bank, by name or path.")] = None,
    organ: Annotated[str | None, typer.Option(help="Overlay of the bank and terms of the lexicon, or none.")] = None,
    lexicon: Annotated[str | None, typer.Option(help="By name or path, or none.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images looked at together.")] = 8,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels that images are resized to (blip: 480 as published).")
    ] = (None),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Count how often the answers name a class that is in the image, by kind and topic, and how fast they come.

    Questions are blind, so that no answer can repeat the class from its question. Exit code 3: unread images.

    Example: `qaclims answerer probe blip:Salesforce/blip-vqa-base --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.answerer.probe import ProbeOptions, answerer_of, probe_answerer, words_of

    words = words_of(card_of(dataset, card), bank=bank, lexicon=lexicon, organ=organ)
    loaded = answerer_of(answerer, words, revision=revision, device=device, dtype=dtype, batch=batch, size=size)
    report = probe_answerer(loaded, words, root, ProbeOptions(split, images, batch, blind=not named))
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.judges import answerer_view

        print_parts(answerer_view(report))
    if report.unread:
        raise typer.Exit(3)
