"""The `qaclims` command: one subcommand per thing a user can do."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, TextIO

import typer

from qaclims_path.cli.answerer import app as answerer_app
from qaclims_path.cli.cams import cams
from qaclims_path.cli.compare import compare
from qaclims_path.cli.corpus import app as corpus_app
from qaclims_path.cli.datasets import app as datasets_app
from qaclims_path.cli.demo import demo
from qaclims_path.cli.doctor import doctor
from qaclims_path.cli.evaluate import evaluate
from qaclims_path.cli.export import export, push
from qaclims_path.cli.judge import app as judge_app
from qaclims_path.cli.masks import masks
from qaclims_path.cli.predict import predict
from qaclims_path.cli.report import report
from qaclims_path.cli.run import run
from qaclims_path.cli.segment import segment
from qaclims_path.cli.slides import app as slides_app
from qaclims_path.cli.train import app as train_app
from qaclims_path.errors import QaclimsError
from qaclims_path.version import __version__

INTERRUPTED = 130
PACKAGE = Path(__file__).parents[1]

_show_as_ever = warnings.showwarning

app = typer.Typer(
    name="qaclims",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


app.command()(doctor)
app.command()(demo)
app.add_typer(datasets_app, name="datasets")
app.add_typer(slides_app, name="slides")
app.add_typer(corpus_app, name="corpus")
app.add_typer(judge_app, name="judge")
app.add_typer(answerer_app, name="answerer")
app.add_typer(train_app, name="train")
app.command()(cams)
app.command()(masks)
app.command()(predict)
app.command()(segment)
app.command()(evaluate)
app.command()(run)
app.command()(report)
app.command()(compare)
app.command()(export)
app.command()(push)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours are for people; those of libraries are shown as ever."""
    if Path(filename).is_relative_to(PACKAGE):
        typer.echo(f"Warning: {message}", err=True)
    else:
        _show_as_ever(message, category, filename, lineno, file, line)


def main() -> None:
    """Run a command; errors that the user can mend are one line and an exit code, without a traceback."""
    warnings.showwarning = _warn
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
        typer.echo("Stopped. Run the same command again to go on.", err=True)  # typer turns Ctrl-C into a code
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        sys.exit(0)
