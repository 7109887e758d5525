"""`qaclims judge`: what a judge is, whether it can tell your classes apart, and how to make a small one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qaclims_path.cli.options import Precision, TrainPrecision, card_of, run_settings

if TYPE_CHECKING:
    from qaclims_path.compute.regions import Fill, Mode

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Vision-language models as judges: show, probe, train."
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="owner/name on the hub, a folder, open_clip:MODEL@TAG, open_clip:MODEL@FILE, ovseg:FILE, or FAMILY:NAME.",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Dataset = Annotated[str | None, typer.Option(metavar="NAME", help="As `qaclims datasets list` says.")]
CardFile = Annotated[Path | None, typer.Option("--card", help="A card of your own, instead of --dataset.")]
Root = Annotated[Path, typer.Option(help="Folder of the data set, laid out as its publisher does.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Seed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def show(model: Model, revision: Revision = None, as_json: Json = False) -> None:
    """Load a judge and show its card.

    Example: `qaclims judge show vinid/plip`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.models.judges import load_judge

    card = load_judge(model, revision=revision, device="cpu", dtype="fp32").card
    if as_json:
        print_json(card)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.judges import card_view

        print_parts(card_view(card))


@app.command()
def probe(
    model: Model,
    root: Root,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="The first with masks where not given.")] = None,
    questions: Annotated[str | None, typer.Option(help="Question bank whose templates name the classes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Look at this many images, chosen with the seed.")] = None,
    mode: Annotated[
        str, typer.Option(help="How a region is shown: soft, hard, published, mask-prompt, crop.")
    ] = "soft",
    fill: Annotated[str, typer.Option(help="What is shown elsewhere: zero, mean, white, blur.")] = "zero",
    revision: Revision = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure whether a judge can tell the classes apart, before training; exit code 3 if images were skipped.

    Whole images and, where the split has masks, regions of the truth are named by their nearest class text.

    Example: `qaclims judge probe vinid/plip --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.models.judges import load_judge
    from qaclims_path.pipeline.judge.probe import probe_judge

    facts = card_of(dataset, card)
    judge = load_judge(model, revision=revision, device=device, mode=cast("Mode", mode), fill=cast("Fill", fill))
    report = probe_judge(judge, facts, root, split=split, questions=questions, limit=limit, seed=seed)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.judges import probe_view

        print_parts(probe_view(report))
    if report.skipped:
        raise typer.Exit(3)


@app.command()
def train(
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the judge, in open_clip's format. The same one goes on.")],
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="The one for training where not given.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of its input in pixels.")] = None,
    tower: Annotated[str | None, typer.Option(help="Image tower, by timm's name.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    image_weights: Annotated[
        Path | None, typer.Option(help="Weights for the image tower to begin with (safetensors, timm's names).")
    ] = None,
    precision: TrainPrecision = Precision.auto,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make a small judge from image-level labels and captions alone; a mask is never opened.

    For data that no published judge knows, and for trying things out. Probe it before you trust it.

    Example: `qaclims judge train --dataset phantom --root phantom --out judge`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.config import parse
    from qaclims_path.pipeline.judge.train import JudgeTrainOptions, train_judge

    facts = card_of(dataset, card)
    given = {"epochs": epochs, "size": size, "tower": tower, "batch": batch, "lr": lr, "seed": seed}
    options = parse(JudgeTrainOptions, {key: value for key, value in given.items() if value is not None}, "judge train")
    running = run_settings(quiet=as_json, precision=precision, workers=workers)
    report = train_judge(facts, root, out, options=options, split=split, image_weights=image_weights, running=running)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.judges import train_view

        print_parts(train_view(report))
