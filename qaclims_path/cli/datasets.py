"""`qaclims datasets`: what data sets are known, what a card says, and whether a folder is what its card says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.cli.options import card_of
from qaclims_path.errors import UsageError

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Known data sets: list, show, check, count, fake, begin."
)

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of a data set, as `qaclims datasets list` says.")
]
CardFile = Annotated[Path | None, typer.Option("--card", help="A card of your own, instead of NAME.")]
Root = Annotated[Path, typer.Option(help="Folder of the data set, laid out as its publisher does.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List all known data sets; exit code 3 when a card cannot be read.

    Example: `qaclims datasets list`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.datasets.list_cards import list_cards

    report = list_cards()
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.datasets import list_view

        print_parts(list_view(report))
    if report.broken:
        raise typer.Exit(3)


@app.command()
def show(
    name: Name = None,
    card: CardFile = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, to draw pictures from.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw a contact sheet with six pictures per class.")] = None,
    split: Annotated[str | None, typer.Option(help="Split to draw; the first with masks where not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of pictures.")] = 0,
    as_json: Json = False,
) -> None:
    """Show all that a card says, or draw a contact sheet of the data.

    Example: `qaclims datasets show bcss-wsss`
    """
    facts = card_of(name, card, called="NAME")
    if (root is None) != (png is None) or (split is not None and png is None):
        raise UsageError("A contact sheet needs both --root (where the data lies) and --png (the file to draw).")
    if root is not None and png is not None:
        from qaclims_path.pipeline.datasets.contact_sheet import draw_sheet

        drawn = draw_sheet(facts, root, png, split=split, seed=seed)
        _report(drawn, f"{drawn.png}: {sum(drawn.pictures.values())} pictures of '{drawn.split}'.", as_json=as_json)
    elif as_json:
        from qaclims_path.cli.views.console import print_json

        print_json(facts.model_dump(mode="json"))
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.datasets import card_view

        print_parts(card_view(facts))


@app.command()
def check(
    root: Root,
    name: Name = None,
    card: CardFile = None,
    complete: Annotated[bool, typer.Option("--complete", help="A smaller copy or an absent split is wrong.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read headers only, not every pixel.")] = False,
    as_json: Json = False,
) -> None:
    """Walk a data set and report all that is wrong with it; exit code 1 when something is. Nothing is written.

    Example: `qaclims datasets check bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.datasets.check import check as run

    report = run(card_of(name, card, called="NAME"), root, complete=complete, quick=quick)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.datasets import check_view

        print_parts(check_view(report))
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
    """Count images, classes, pixels, sizes and patients. Masks are opened only where a split is scored with them.

    Example: `qaclims datasets stats bcss-wsss --root BCSS-WSSS`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.datasets.stats import stats as run

    report = run(card_of(name, card, called="NAME"), root, out=out)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.datasets import stats_view

        print_parts(stats_view(report))


@app.command()
def fake(
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    name: Name = None,
    card: CardFile = None,
    images: Annotated[int, typer.Option(min=1, help="Images per split.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The same seed writes the same pixels.")] = 0,
    slides: Annotated[int, typer.Option(min=0, help="Whole slides with their truth (phantom only).")] = 0,
    slide_size: Annotated[int, typer.Option(min=256, help="Side of a slide in pixels (phantom only).")] = 4096,
    as_json: Json = False,
) -> None:
    """Write a small made-up data set in the exact published layout; `phantom` is painted tissue.

    Example: `qaclims datasets fake phantom --out phantom --images 24 --slides 1`
    """
    from qaclims_path.pipeline.datasets.fake import make_fake

    report = make_fake(
        card_of(name, card, called="NAME"), out, images=images, seed=seed, slides=slides, slide_size=slide_size
    )
    counts = ", ".join(f"{split} {count}" for split, count in report.splits.items())
    painted = f", {report.slides} slides" if report.slides else ""
    _report(report, f"{report.out}: a made-up '{report.dataset}' ({counts} images{painted}).", as_json=as_json)


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
    from qaclims_path.pipeline.datasets.init_card import init_card

    report = init_card(name, out, classes=classes.split(","), from_qupath=from_qupath)
    left_out = f" Left out: {', '.join(report.left_out)}." if report.left_out else ""
    said = f"{report.path}: a card with {', '.join(report.classes)}.{left_out} Read it, and fill in what you know."
    _report(report, said, as_json=as_json)


def _report(report: object, sentence: str, *, as_json: bool) -> None:
    from qaclims_path.cli.views.console import print_json

    if as_json:
        print_json(report)
    else:
        typer.echo(sentence)
