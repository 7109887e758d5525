"""Options of public functions: keywords and dictionaries, checked before anything else happens."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaclims_path.api.options import Where, kind_of, public, read, several, with_shard
from qaclims_path.config import Options, Settings
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.shards import Shard


class Size(Options):
    """A size.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
    """

    width: int = 3
    height: int = 2


class Speed(Options):
    """How fast.

    Attributes:
        workers: Number of processes.
    """

    workers: int = 1


@public(Size, Speed, leave_out=["height"])
def draw(path: Where, *, out: Where | None = None, settings: Settings = (), **options: Any) -> tuple[object, ...]:
    """Draw something."""
    return str(path), out, read(Size, options, "draw", height=9), read(Speed, options, "draw"), settings


@pytest.mark.parametrize(
    "given",
    [{"width": 5, "workers": 2}, {"options": {"width": 5, "workers": 2}}, {"options": {"width": 5}, "workers": 2}],
)
def test_keywords_and_dictionaries_are_the_same(given: dict[str, Any]) -> None:
    assert draw("a", **given) == ("a", None, Size(width=5, height=9), Speed(workers=2), ())


def test_keywords_win_over_the_dictionary_and_own_parameters_may_be_in_it() -> None:
    assert draw(Path("a"), options={"width": 5, "out": "b"}, width=6)[:3] == ("a", "b", Size(width=6, height=9))


def test_help_and_signature_list_all_options() -> None:
    names = list(inspect.signature(draw).parameters)
    assert names == ["path", "out", "settings", "width", "workers", "options"]
    assert inspect.signature(draw).parameters["width"].default == 3
    assert "    width: Width in pixels." in draw.__doc__
    assert "Options of `Speed`:\n    workers: Number of processes." in draw.__doc__
    assert (draw.__name__, draw.__module__) == ("draw", __name__)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 3}, r"draw\(\) has no option 'widht'\. Did you mean 'width'\? Known: .*out.*workers"),
        ({"options": {"setings": {}}}, r"has no option 'setings'\. Did you mean 'settings'"),
        ({"height": 3}, r"draw\(\) has no option 'height'"),
        ({"options": [("width", 3)]}, r"draw\(\): options should be a dictionary by name, not list"),
        ({"out": 3}, r"draw\(\): out should be a path or a name, not int"),
        ({"settings": 3}, r"draw\(\): settings should be a dictionary such as .*, not int"),
        ({"settings": "cam.train.epochs=5"}, r"draw\(\): settings should be a dictionary such as .*, not str"),
    ],
)
def test_wrong_names_and_types_are_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw("a", **given)


def test_wrong_values_are_refused_by_the_model() -> None:
    with pytest.raises(BadConfig, match=r"draw\(\): 'width': Input should be a valid integer.*\(given: 'wide'\)"):
        draw("a", width="wide")


def test_an_array_instead_of_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"path should be a path or a name, not ndarray of shape \(2, 3\)"):
        draw(np.zeros((2, 3)))
    assert kind_of(np.zeros(4)) == "ndarray of shape (4,)"


def test_one_path_or_several() -> None:
    assert several("a") == several(Path("a")) == several(["a"]) == ("a",)
    assert several(each for each in (["a", Path("b")])) == ("a", "b")
    for wrong in (3, [3], None, [None]):
        with pytest.raises(UsageError, match="A path or a list of paths is needed"):
            several(wrong)


def test_a_shard_may_be_written_as_on_the_command_line() -> None:
    assert with_shard({"shard": "2/8", "x": 1}) == {"shard": Shard(2, 8), "x": 1}
    assert with_shard({"shard": Shard(1, 2)}) == {"shard": Shard(1, 2)}
    with pytest.raises(UsageError, match="should look like 2/8"):
        with_shard({"shard": "second"})
