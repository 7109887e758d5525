"""Options of commands that come from an options model."""

from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from qaclims_path.cli.fields import Chosen, help_of, with_options
from qaclims_path.cli.options import new_app
from qaclims_path.config import Options
from qaclims_path.errors import BadConfig, UsageError


class Cooking(Options):
    """How something is cooked.

    Attributes:
        heat: Degrees,
            in Celsius.
        lid: Put the lid on.
        salt: Grams of salt, or `taste`.
        stove: Kind of stove.
        cook: Name of the cook; nobody if not given.
        turns: Minutes after which it is turned.
        spices: Spices. Repeatable.
        secret: Not for the command line.
    """

    heat: Annotated[int, Field(ge=20, le=250)]
    lid: bool = False
    salt: Annotated[float, Field(gt=0)] | Literal["taste"] = "taste"
    stove: Literal["gas", "wood"] = "gas"
    cook: str | None = None
    turns: tuple[float, ...] = (5, 7.5)
    spices: tuple[str, ...] = ("pepper",)
    secret: int = 1


app = new_app()
cooked = []


@app.command()
@with_options("chosen", Cooking, leave_out=["secret"], names={"lid": "--with-lid"})
def cook(dish: str, chosen: Chosen[Cooking], dry_run: Annotated[bool, typer.Option("--dry-run")] = False) -> None:
    """Cook."""
    cooked.append((dish, chosen.options(secret=2), dry_run))


def run(*words):
    result = CliRunner(env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_values_go_to_the_model_and_own_options_to_the_command():
    words = ["--heat", "100", "--with-lid", "--salt", "2.5", "--cook", "Ada", "--turns", "1,2.5", "--spices", "dill"]
    assert run("soup", *words, "--spices", "mint", "--stove", "wood", "--dry-run").exit_code == 0
    options = Cooking(
        heat=100, lid=True, salt=2.5, stove="wood", cook="Ada", turns=(1, 2.5), spices=("dill", "mint"), secret=2
    )  # fmt: skip
    assert cooked.pop() == ("soup", options, True)


def test_defaults_are_those_of_the_model():
    assert run("soup", "--heat", "100").exit_code == 0
    assert cooked.pop() == ("soup", Cooking(heat=100, secret=2), False)


def test_help_shows_texts_limits_choices_and_defaults():
    shown = " ".join(run("--help").output.split())
    for part in (
        "<int, 20<=x<=250> Degrees, in Celsius. [required]",
        "<float, 0<x|taste>",
        "<gas|wood> Kind of stove.",
        "--with-lid",
        "Grams of salt, or taste.",
        "[default: 5,7.5]",
    ):
        assert part in shown.replace("│ ", "").replace("* ", ""), (part, shown)
    assert "secret" not in shown
    assert "chosen" not in shown


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["--heat", "300"], BadConfig, "'heat': Input should be less than or equal to 250"),
        (["--heat", "30", "--stove", "coal"], BadConfig, "'stove'.*'gas' or 'wood'"),
        (["--heat", "30", "--salt", "much"], BadConfig, "'salt'"),
        (["--heat", "30", "--turns", "1;2"], UsageError, "--turns 1;2 should be numbers with commas .* such as 5,7.5"),
    ],
)
def test_the_model_checks_the_values(words, error, text):
    with pytest.raises(error, match=text):
        run("soup", *words)


@pytest.mark.parametrize("words", [[], ["--heat", "warm"], ["--heat", "30", "--cold"]])
def test_missing_and_unknown_options_are_usage_errors(words):
    assert run("soup", *words).exit_code == 2


def test_help_of_a_class_without_attributes_is_empty():
    assert help_of(int) == {}
    assert help_of(Cooking)["heat"] == "Degrees, in Celsius."
