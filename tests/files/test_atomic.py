"""Atomic writes: all or nothing, whatever goes wrong."""

# ruff: noqa: PT012 - the block that fails is what is tested

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import append_text, atomic_path, sweep, write_bytes, write_json, write_text
from qaclims_path.files.folders import list_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_leaves_no_other_file(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "labels.csv", "image,tumor\nä,1\n")
    assert (tmp_path / "deep" / "er" / "labels.csv").read_text(encoding="utf-8") == "image,tumor\nä,1\n"
    assert names(tmp_path / "deep" / "er") == ["labels.csv"]


def test_the_temporary_name_keeps_the_suffix_and_is_hidden(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "mask.png") as temporary:
        temporary.write_bytes(b"x")
        assert temporary.suffix == ".png"
        assert list_files(tmp_path) == []
    assert list_files(tmp_path) == ["mask.png"]


def test_a_failing_block_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_killed_process_leaves_no_file_and_does_not_block_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from qaclims_path.files.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t: t.mkdir(); (t / 'half').write_text('x'); os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    out = tmp_path / "run"
    assert subprocess.run([sys.executable, "-c", code, str(out)], env=environment, check=False).returncode == 9
    assert not out.exists()
    with atomic_path(out) as temporary:
        temporary.mkdir()
        (temporary / "whole").write_text("x")
    assert names(out) == ["whole"]


def test_text_grows_and_a_full_disk_is_a_sentence(tmp_path: Path, files_up_to: Callable) -> None:
    path = tmp_path / "log.csv"
    append_text(path, "step\n")
    append_text(path, "ä\n")
    assert path.read_text(encoding="utf-8") == "step\nä\n"
    with files_up_to(5), pytest.raises(QaclimsError, match=r"log\.csv cannot be written: .* Choose another folder"):
        append_text(path, "more")
    with pytest.raises(QaclimsError, match=r"no/log\.csv cannot be written: No such file"):
        append_text(tmp_path / "no" / "log.csv", "more")


def test_an_unfinished_folder_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "set") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("x")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        QaclimsError, match=r"file/out\.txt cannot be written: .*/file: File exists\. Choose another folder\."
    ):
        write_text(tmp_path / "file" / "out.txt", "x")
    with pytest.raises(QaclimsError, match=r"deep/out\.txt cannot be written: .*/file/deep: Not a directory"):
        write_text(tmp_path / "file" / "deep" / "out.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(QaclimsError, match=r"folder cannot be written: Is a directory"):
        write_text(tmp_path / "folder", "x")
    with pytest.raises(QaclimsError, match=r"cannot be written: File name too long"):
        write_text(tmp_path / ("n" * 300), "x")


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(QaclimsError, match=r"cannot be written: Permission denied"):
            write_text(tmp_path / "out.txt", "x")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_error_in_the_block_is_not_a_writing_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text((tmp_path / "none.txt").read_text())
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_a_folder_that_is_written_is_a_writing_error(tmp_path: Path) -> None:
    with pytest.raises(QaclimsError, match=r"set cannot be written: "), atomic_path(tmp_path / "set") as temporary:
        temporary.mkdir()
        (temporary / "missing" / "a.png").write_bytes(b"")


def test_json_is_strict_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"title": "Gewebe für alle", "value": None})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "für" in text
    assert json.loads(text) == {"title": "Gewebe für alle", "value": None}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"value": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_bytes_are_kept_as_they_are(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\r\n\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"\r\n\x00\xff"


def test_sweeping_only_removes_temporary_copies_of_this_file(tmp_path: Path) -> None:
    for name in (".a.12.part.csv", ".a.7.12.part.csv", ".a.12.part.json", ".a.x.part.csv", "a.csv"):
        (tmp_path / name).touch()
    (tmp_path / ".b.3.part").mkdir()
    (tmp_path / ".b.3.part" / "tile.png").touch()
    sweep(tmp_path / "a.csv")
    sweep(tmp_path / "b")
    sweep(tmp_path / "nowhere" / "a.csv")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".a.7.12.part.csv", ".a.12.part.json", ".a.x.part.csv", "a.csv"}


def test_writers_with_the_same_process_number_do_not_collide(tmp_path: Path) -> None:
    """Process numbers repeat across containers."""
    path = tmp_path / "a.txt"
    with atomic_path(path) as one, atomic_path(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.txt"]
