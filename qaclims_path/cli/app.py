"""The `qaclims` command: one subcommand for each thing a user can do.

A command lies in the module of its name and is imported when it is called, so that `qaclims --help` and the completion
of a shell stay fast. Its line here is the first sentence of its own help.
"""

import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_command

from qaclims_path.errors import QaclimsError
from qaclims_path.version import __version__

INTERRUPTED = 130
PACKAGE = Path(__file__).parents[1]
COMMANDS = {
    "doctor": "Show what works on this machine, what is missing, and how to install it.",
    "demo": "Run the whole method on painted slides: answers, maps, masks, segmenters and scores.",
    "datasets": "Data sets: list, show, check, stats, fake, tile, init.",
    "slides": "Whole slides: info, tile.",
    "corpus": "Texts about the classes of every image: build, import, show, stats, diff.",
    "judge": "Vision-language models that compare image regions with texts: show, probe, train.",
    "answerer": "Models that answer questions about images: probe.",
    "train": "Train networks: cam, boundary, seg.",
    "cams": "Make the activation maps of every image of a split.",
    "masks": "Turn activation maps into pseudo masks.",
    "predict": "Label every image of a split with a trained segmenter.",
    "segment": "Segment whole slides or images with a trained segmenter.",
    "evaluate": "Score predictions under a named protocol.",
    "run": "Run every stage of a recipe: corpus, maps, masks, segmenter, scores and report.",
    "recipes": "Recipes: list, show, keys.",
    "report": "Write RUN/report.html: scores, curves, pictures, texts, times and options on one page.",
    "compare": "Compare methods: means over seeds, and differences from a baseline.",
    "export": "Write the segmenter of a run with its model card, as a MONAI bundle or for the hub.",
    "push": "Upload the segmenter of a run with its model card to the hub.",
}

_show_library_warning = warnings.showwarning


class LazyGroup(TyperGroup):
    """Commands that are listed by their line in `COMMANDS` and imported when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - click's
        """Import the command that the first argument names."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and get_command(import_module(f"qaclims_path.cli.{listed.name}").app), rest


app = typer.Typer(
    name="qaclims",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _listed() -> None:
    """Stand in for a command in the list of commands."""


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(_listed)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"qaclims_path {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Tissue segmentation from image-level labels, with language as the extra teacher."""


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show warnings of this package as one sentence, and those of libraries as Python does."""
    if Path(filename).is_relative_to(PACKAGE):
        typer.echo(f"Warning: {message}", err=True)
    else:
        _show_library_warning(message, category, filename, lineno, file, line)


def main() -> None:
    """Run a command; an error that the user can mend is one line and an exit code, without a traceback."""
    warnings.showwarning = _warn
    # Torch's threads spin while they wait for each other, on a busy machine for longer than they compute. Torch reads
    # this when it is imported. A user's own setting wins, GOMP_SPINCOUNT and KMP_BLOCKTIME too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except QaclimsError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (SystemExit, KeyboardInterrupt) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        typer.echo("Stopped. Run the same command again to continue.", err=True)  # typer turns Ctrl-C into a code
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of the output has ended, as `| head` does
        sys.stderr.close()
        sys.exit(0)
