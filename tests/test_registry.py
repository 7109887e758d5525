"""The registry: names, suggestions, and entries of other packages."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import NotRegistered, UsageError
from qaclims_path.registry import Registry, suggest


def small() -> Registry[int]:
    registry: Registry[int] = Registry("refiner")
    registry.add("par")(1)
    registry.add("crf")(2)
    return registry


def test_entries_are_found_and_listed_in_order() -> None:
    registry = small()
    assert registry["par"] == 1
    assert list(registry) == ["crf", "par"]
    assert "crf" in registry
    assert "irn" not in registry


def test_add_returns_the_decorated_function() -> None:
    registry: Registry[object] = Registry("thing")

    @registry.add("double")
    def double(x: int) -> int:
        return 2 * x

    assert registry["double"] is double
    assert double(2) == 4


def test_a_wrong_name_gets_the_nearest_and_all_names() -> None:
    with pytest.raises(NotRegistered, match=r"^There is no refiner 'paar'\. Did you mean 'par'\? Known: crf, par\.$"):
        small()["paar"]
    assert issubclass(NotRegistered, UsageError)


def test_a_name_unlike_all_others_gets_no_suggestion() -> None:
    assert suggest("zzz", ["par", "crf"]) == "Known: crf, par."
    assert suggest("zzz", []) == "Known: none."


def test_a_long_list_is_cut() -> None:
    text = suggest("zzz", [f"name{i:03d}" for i in range(100)])
    assert text.endswith("name039, ...."), text


@given(wrong=st.text(max_size=12), known=st.lists(st.text(min_size=1, max_size=8), max_size=6))
def test_a_suggestion_is_always_a_known_name(wrong: str, known: list[str]) -> None:
    text = suggest(wrong, known)
    assert "Known: " in text
    if text.startswith("Did you mean '"):
        assert any(text.startswith(f"Did you mean '{name}'? Known: ") for name in known)


def test_entries_of_another_package_are_loaded_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "their_refiner.py").write_text("print('loaded')\nrefine = 'theirs'\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[qaclims_path.refiners]\ntheirs = their_refiner:refine\npar = their_refiner:nothing\n"
    )
    code = (
        "from qaclims_path.registry import Registry\n"
        "registry = Registry('refiner', group='qaclims_path.refiners')\n"
        "registry.add('par')('ours')\n"
        "print(list(registry), registry['par'])\n"
        "print(registry['theirs'], registry['theirs'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["['par', 'theirs'] ours", "loaded", "theirs theirs"], done.stderr


def test_a_name_is_known_before_its_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_refiner.py").write_text("from late_registry import LATE\nLATE.add('late')('made')\n")
    (tmp_path / "late_registry.py").write_text(
        "from qaclims_path.registry import Registry\nLATE = Registry('refiner', modules={'late': 'late_refiner'})\n"
    )
    registry = importlib.import_module("late_registry").LATE
    assert "late" in registry
    assert [*registry] == ["late"]
    assert "late_refiner" not in sys.modules
    assert registry["late"] == "made"
    with pytest.raises(NotRegistered, match="Did you mean 'late'"):
        registry["latte"]
