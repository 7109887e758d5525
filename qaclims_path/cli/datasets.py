"""`qaclims datasets`: known data sets, their cards, and checks of a folder against its card."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import Json, Root, chosen_card, dataset_names, new_app
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.datasets.options import CutOptions, FakeOptions

app = new_app("Data sets: list, show, check, stats, fake, tile, init.")

NAME = "NAME"
Name = Annotated[
    str | None,
    typer.Argument(metavar=NAME, help="Data set, as in `qaclims datasets list`.", autocompletion=dataset_names),
]
CardFile = Annotated[Path | None, typer.Option("--card", help="Card of your own data, instead of NAME.")]


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List all known data sets. Exit code 3 when a card cannot be read.

    Example: `qaclims datasets list`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.datasets import list_view
    from qaclims_path.pipeline.datasets.list_cards import list_cards

    report = list_cards()
    show(report, list_view, as_json=as_json, failed=report.broken)


@app.command("show")
def show_command(
    name: Name = None,
    card: CardFile = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, to draw pictures from.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw a contact sheet with six pictures per class.")] = None,
    split: Annotated[str | None, typer.Option(help="Split to draw; the first with masks if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of pictures.")] = 0,
    as_json: Json = False,
) -> None:
    """Show all facts of a card, or draw a contact sheet of the data.

    Example: `qaclims datasets show bcss-wsss`
    """
    from qaclims_path.cli.views.console import sentence, show
    from qaclims_path.cli.views.datasets import card_view

    facts = chosen_card(name, card, called=NAME)
    if (root is None) != (png is None) or (split is not None and png is None):
        raise UsageError("A contact sheet needs both --root (the folder of the data) and --png (the file to draw).")
    if root is None or png is None:
        show(facts, card_view, as_json=as_json)
        return
    from qaclims_path.pipeline.datasets.contact_sheet import draw_sheet

    drawn = draw_sheet(facts, root, png, split=split, seed=seed)
    text = f"{drawn.png}: {sum(drawn.pictures.values())} pictures of '{drawn.split}'."
    show(drawn, lambda _: sentence(text), as_json=as_json)


@app.command()
def check(
    root: Root,
    name: Name = None,
    card: CardFile = None,
    complete: Annotated[bool, typer.Option("--complete", help="Count missing images and splits as wrong.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read headers only, not every pixel.")] = False,
    as_json: Json = False,
) -> None:
    """Read a data set and report everything that is wrong with it. Exit code 1 when something is.

    Nothing is written.

    Example: `qaclims datasets check bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.datasets import check_view
    from qaclims_path.pipeline.datasets.check import check as run

    report = run(chosen_card(name, card, called=NAME), root, complete=complete, quick=quick)
    show(report, check_view, as_json=as_json)
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def stats(
    root: Root,
    name: Name = None,
    card: CardFile = None,
    out: Annotated[Path | None, typer.Option(help="Write a CSV with a row per split and class.")] = None,
    as_json: Json = False,
) -> None:
    """Count images, classes, pixels, sizes and patients.

    Masks are opened only where a split is scored with them.

    Example: `qaclims datasets stats bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.datasets import stats_view
    from qaclims_path.pipeline.datasets.stats import stats as run

    show(run(chosen_card(name, card, called=NAME), root, out=out), stats_view, as_json=as_json)


@app.command()
@with_options("chosen", FakeOptions)
def fake(
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    *,
    name: Name = None,
    card: CardFile = None,
    chosen: Chosen[FakeOptions],
    as_json: Json = False,
) -> None:
    """Write a small synthetic data set in the published layout; `phantom` is painted tissue.

    Example: `qaclims datasets fake phantom --out phantom --images 24 --slides 1`
    """
    from qaclims_path.cli.views.console import sentence, show
    from qaclims_path.pipeline.datasets.fake import make_fake

    report = make_fake(chosen_card(name, card, called=NAME), out, chosen.options())
    counts = ", ".join(f"{split} {count}" for split, count in report.splits.items())
    painted = f", {report.slides} slides" if report.slides else ""
    text = f"{report.out}: a synthetic '{report.dataset}' ({counts} images{painted})."
    show(report, lambda _: sentence(text), as_json=as_json)


@app.command()
@with_options("chosen", CutOptions)
def tile(
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    *,
    name: Name = None,
    card: CardFile = None,
    chosen: Chosen[CutOptions],
    as_json: Json = False,
) -> None:
    """Cut large images with masks into tiles: a data set with a card of its own, for any recipe.

    Example: `qaclims datasets tile bcss --root BCSS --out BCSS-tiles --mpp 0.5`
    """
    from qaclims_path.cli.views.console import sentence, show
    from qaclims_path.pipeline.datasets.tile_images import tile_images

    report = tile_images(chosen_card(name, card, called=NAME), root, out, chosen.options())
    counts = ", ".join(f"{split} {tiles} from {report.images[split]}" for split, tiles in report.tiles.items())
    text = f"{report.out}: tiles of the images of '{report.dataset}' ({counts})."
    text += f" {report.empty} with nothing annotated are left out." if report.empty else ""
    show(report, lambda _: sentence(text), as_json=as_json)


@app.command()
def init(
    name: Annotated[str, typer.Option(help="Name of your data set.")],
    out: Annotated[Path, typer.Option(help="YAML file to write.")],
    classes: Annotated[str, typer.Option(help="Class names, separated by commas.")] = "",
    from_qupath: Annotated[
        Path | None, typer.Option(help="GeoJSON exported from QuPath, whose classes and colours are taken.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a card for your own data.

    Example: `qaclims datasets init --name mine --classes tumor,stroma --out mine.yaml`
    """
    from qaclims_path.cli.views.console import sentence, show
    from qaclims_path.pipeline.datasets.init_card import init_card

    report = init_card(name, out, classes=classes.split(","), from_qupath=from_qupath)
    left_out = f" Left out: {', '.join(report.left_out)}." if report.left_out else ""
    text = f"{report.path}: a card with {', '.join(report.classes)}.{left_out} Read it, and fill in what you know."
    show(report, lambda _: sentence(text), as_json=as_json)
