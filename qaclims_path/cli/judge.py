"""`qaclims judge`: show a judge, measure whether it tells the classes apart, train a small one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import CardFile, Dataset, Device, Json, Root, chosen_card, new_app
from qaclims_path.cli.running import run_settings, with_running_on_one_machine
from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.judge.options import JudgeTrainOptions

if TYPE_CHECKING:
    from qaclims_path.compute.regions import Fill, Mode

app = new_app("Vision-language models that compare image regions with texts: show, probe, train.")

Model = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="owner/name on the hub, a folder, open_clip:MODEL@TAG, open_clip:MODEL@FILE, ovseg:FILE, or FAMILY:NAME.",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]


@app.command("show")
def show_command(model: Model, revision: Revision = None, as_json: Json = False) -> None:
    """Load a judge and show its card.

    Example: `qaclims judge show vinid/plip`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import card_view
    from qaclims_path.models.judges import load_judge

    show(load_judge(model, revision=revision, device="cpu", dtype="fp32").card, card_view, as_json=as_json)


@app.command()
def probe(
    model: Model,
    root: Root,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="Split to look at; the first with masks if not given.")] = None,
    questions: Annotated[str | None, typer.Option(help="Question bank whose templates name the classes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Images to look at, chosen with the seed.")] = None,
    mode: Annotated[
        str, typer.Option(help="How a region is shown: soft, hard, published, mask-prompt, crop.")
    ] = "soft",
    fill: Annotated[str, typer.Option(help="What surrounds a region: zero, mean, white, blur.")] = "zero",
    revision: Revision = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure whether a judge tells the classes apart, before any training. Exit code 3 when images were skipped.

    Whole images and, where the split has masks, their true regions are named by the nearest class text.

    Example: `qaclims judge probe vinid/plip --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import probe_view
    from qaclims_path.models.judges import load_judge
    from qaclims_path.pipeline.judge.probe import probe_judge

    facts = chosen_card(dataset, card)
    judge = load_judge(model, revision=revision, device=device, mode=cast("Mode", mode), fill=cast("Fill", fill))
    report = probe_judge(judge, facts, root, split=split, questions=questions, limit=limit, seed=seed)
    show(report, probe_view, as_json=as_json, failed=report.skipped)


@app.command()
@with_options("chosen", JudgeTrainOptions)
@with_running_on_one_machine
def train(
    root: Root,
    out: Annotated[
        Path, typer.Option(help="Folder of the judge, in open_clip's format; an unfinished training continues.")
    ],
    *,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="Split to learn from; that for training if not given.")] = None,
    chosen: Chosen[JudgeTrainOptions],
    image_weights: Annotated[
        Path | None, typer.Option(help="Weights that the image tower begins with (safetensors, timm's names).")
    ] = None,
    running: Chosen[RunSettings],
    as_json: Json = False,
) -> None:
    """Train a small judge on image-level labels and captions; masks are never opened.

    For data that no published judge knows, and for trying things out. Probe it before you trust it.

    Example: `qaclims judge train --dataset phantom --root phantom --out judge`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import train_view
    from qaclims_path.pipeline.judge.train import train_judge

    facts = chosen_card(dataset, card)
    options = chosen.options()
    hardware = run_settings(running, quiet=as_json)
    report = train_judge(facts, root, out, options=options, split=split, image_weights=image_weights, running=hardware)
    show(report, train_view, as_json=as_json)
