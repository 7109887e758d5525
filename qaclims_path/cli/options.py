"""Options and arguments that several commands share, and the settings of a command's Typer application."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qaclims_path.errors import UsageError

if TYPE_CHECKING:
    from qaclims_path.data.card import Card


def dataset_names(incomplete: str) -> list[str]:
    """Complete the name of a data set."""
    from qaclims_path.data.cards import card_paths

    return [name for name in card_paths() if name.startswith(incomplete)]


def protocol_names(incomplete: str) -> list[str]:
    """Complete the name of a protocol."""
    from qaclims_path.data import protocol

    return [name for name in protocol.protocol_names() if name.startswith(incomplete)]


def recipe_names(incomplete: str) -> list[str]:
    """Complete the name of a recipe."""
    from qaclims_path.pipeline import configs

    return [name for name in configs.recipe_names() if name.startswith(incomplete)]


Recipe = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A recipe such as bcss-wsss/qa-clims-path, or a YAML file.",
        autocompletion=recipe_names,
    ),
]
Root = Annotated[Path, typer.Option(help="Folder of the data set, as its publisher lays it out.")]
Split = Annotated[str, typer.Option(help="Split of the data set.")]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Data set, as in `qaclims datasets list`.", autocompletion=dataset_names),
]
CardFile = Annotated[Path | None, typer.Option("--card", help="Card of your own data, instead of --dataset.")]
OtherDataset = Annotated[
    str | None,
    typer.Option(help="Name or card of the data set; that of the run if not given.", autocompletion=dataset_names),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="How predictions are scored; the first protocol of the card if not given.", autocompletion=protocol_names
    ),
]
Score = Annotated[bool, typer.Option(help="Score against the masks of a split that has them.")]
Part = Annotated[str, typer.Option(help="Do part i of n, as in 2/8: for job arrays that share --out.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Threads = Annotated[int, typer.Option(min=1, help="Images that the dense CRF works on at once.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def override(example: str) -> Any:  # noqa: ANN401 - what typer.Option gives
    """The option `--set`, with an example of a key and its value."""
    return typer.Option("--set", help=f"Change an option, as in --set {example}. Repeatable.")


def new_app(group: str = "") -> typer.Typer:
    """A Typer application for one command, or for a group of commands with its line of help."""
    app = typer.Typer(no_args_is_help=bool(group), rich_markup_mode="markdown", add_completion=False)
    if group:
        app.callback(help=group)(lambda: None)
    return app


def chosen_card(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card":
    """The card of a data set, by its name or by a file."""
    card = chosen_card_or_none(name, file, called=called)
    if card is None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE.")
    return card


def chosen_card_or_none(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card | None":
    """The card of a data set, by its name or by a file; None where neither is given."""
    from qaclims_path.data.cards import load_card

    if name is not None and file is not None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE, not both.")
    if file is not None:
        return load_card(file.absolute())
    return load_card(name) if name is not None else None
