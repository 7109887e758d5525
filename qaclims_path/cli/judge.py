"""`qaclims judge`: show a judge, measure whether it tells the classes apart, train a small one."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import CardFile, Dataset, Json, Root, chosen_card, new_app
from qaclims_path.cli.running import run_settings, with_running_on_one_machine
from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions

app = new_app("Vision-language models that compare image regions with texts: show, probe, train.")

Model = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="owner/name on the hub, a folder, open_clip:MODEL@TAG, open_clip:MODEL@FILE, ovseg:FILE, or FAMILY:NAME.",
    ),
]


@app.command("show")
def show_command(
    model: Model,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    as_json: Json = False,
) -> None:
    """Load a judge and show its card.

    Example: `qaclims judge show vinid/plip`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import card_view
    from qaclims_path.models.judges import load_judge

    show(load_judge(model, revision=revision, device="cpu", dtype="fp32").card, card_view, as_json=as_json)


@app.command()
@with_options("chosen", JudgeProbeOptions)
def probe(
    model: Model,
    root: Root,
    *,
    dataset: Dataset = None,
    card: CardFile = None,
    chosen: Chosen[JudgeProbeOptions],
    as_json: Json = False,
) -> None:
    """Measure whether a judge tells the classes apart, before any training. Exit code 3 when images were skipped.

    Whole images and, where the split has masks, their true regions are named by the nearest class text.

    Example: `qaclims judge probe vinid/plip --dataset bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.judges import probe_view
    from qaclims_path.data.listing import choose_split
    from qaclims_path.models.judges import check_judge

    facts, options = chosen_card(dataset, card), chosen.options()
    check_judge(model)
    choose_split(facts, root, options.split)
    from qaclims_path.pipeline.judge.probe import judge_of, probe_judge

    report = probe_judge(judge_of(model, options), facts, root, options)
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
    from qaclims_path.pipeline.judge.images import training_images

    facts = chosen_card(dataset, card)
    training_images(facts, root, split)  # wrong folders are refused before torch is imported
    from qaclims_path.pipeline.judge.train import train_judge

    options = chosen.options()
    hardware = run_settings(running, quiet=as_json)
    report = train_judge(facts, root, out, options=options, split=split, image_weights=image_weights, running=hardware)
    show(report, train_view, as_json=as_json)
