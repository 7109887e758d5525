"""One slide at a time: its state is recorded, its errors stop nothing, and a killed attempt is continued."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from qaclims_path.errors import BadFile
from qaclims_path.slides.cohort.state import (
    Keep,
    SlideState,
    attempt,
    ended_state,
    give_up,
    read_state,
    record,
    slide_bytes,
    state_path,
)
from qaclims_path.slides.problems import OutOfSpace


def test_a_slide_that_is_done_has_its_result(tmp_path: Path) -> None:
    seen: list[SlideState | None] = []

    def work(_: Keep) -> dict[str, Any]:
        seen.append(read_state(tmp_path, "a"))
        assert ended_state(tmp_path, "a", "f") is None
        return {"tiles": 3}

    state = attempt(tmp_path, "a", "f", work)
    assert seen == [SlideState("a", "running", "f", 1)]
    assert state == SlideState("a", "done", "f", 1, result={"tiles": 3})
    assert ended_state(tmp_path, "a", "f") == read_state(tmp_path, "a") == state
    assert ended_state(tmp_path, "a", "other inputs") is None
    assert attempt(tmp_path, "a", "f", work).attempts == 2


def test_an_error_is_recorded_as_a_sentence(tmp_path: Path) -> None:
    def damaged(_: Keep) -> dict[str, Any]:
        raise BadFile("a.svs is damaged.")

    def broken(_: Keep) -> dict[str, Any]:
        return {"tiles": 1 // 0}

    assert attempt(tmp_path, "a", "f", damaged) == SlideState("a", "failed", "f", 1, "a.svs is damaged.")
    state = attempt(tmp_path, "b", "f", broken)
    assert state.error.startswith("Unexpected ZeroDivisionError")
    assert "in broken" in state.trace
    assert ended_state(tmp_path, "b", "f") == state


def test_a_killed_attempt_is_continued(tmp_path: Path) -> None:
    def killed(keep: Keep) -> dict[str, Any]:
        keep({"map": "half"})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(tmp_path, "a", "f", killed)
    before = read_state(tmp_path, "a")
    assert before == SlideState("a", "running", "f", 1, result={"map": "half"})
    unfinished, other = tmp_path / ".a.12.part.csv", tmp_path / ".b.12.part.csv"
    for path in (unfinished, other):
        path.touch()

    def work(_: Keep) -> dict[str, Any]:
        assert read_state(tmp_path, "a") == SlideState("a", "running", "f", 2, result={"map": "half"})
        raise BadFile("Gone.")

    state = attempt(tmp_path, "a", "f", work, writes=[tmp_path / "a.csv"], kept={"map": "half"})
    assert state.result == {"map": "half"}
    assert not unfinished.exists()
    assert other.exists()


def test_files_of_other_processes_stay_after_an_attempt_that_ended(tmp_path: Path) -> None:
    attempt(tmp_path, "a", "f", lambda _: {})
    (tmp_path / ".a.12.part.csv").touch()
    attempt(tmp_path, "a", "f", lambda _: {}, writes=[tmp_path / "a.csv"])
    assert (tmp_path / ".a.12.part.csv").exists()


def test_a_full_disk_stops_all(tmp_path: Path) -> None:
    def full(_: Keep) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device", "tiles/a.png")

    with pytest.raises(OutOfSpace, match=r"tiles/a\.png: No space left on device"):
        attempt(tmp_path, "a", "f", full)
    (tmp_path / "file").touch()
    with pytest.raises(OutOfSpace, match="cannot be written"):
        record(tmp_path / "file", SlideState("a", "done", "f"))


def test_a_process_that_was_ended_from_outside_is_a_failure(tmp_path: Path) -> None:
    assert give_up(tmp_path, "a", "f", "Ended.") == SlideState("a", "failed", "f", 1, "Ended.")
    record(tmp_path, SlideState("a", "running", "f", 3))
    assert give_up(tmp_path, "a", "f", "Ended.").attempts == 3


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    assert read_state(tmp_path, "a") is None
    for content in ("{", "[]", json.dumps({"name": "a", "colour": "red"})):
        state_path(tmp_path, "a").parent.mkdir(exist_ok=True)
        state_path(tmp_path, "a").write_text(content)
        assert read_state(tmp_path, "a") is None


def test_the_size_of_a_slide_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"45")
    (tmp_path / "more").mkdir()
    assert slide_bytes(str(tmp_path / "a")) == 3
    assert slide_bytes(str(tmp_path)) == 5
    assert slide_bytes("s3://bucket/a.svs") is None
