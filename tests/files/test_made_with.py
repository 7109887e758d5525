"""The note of how a folder was made: written once, compared afterwards, refused with the names of what differs."""

import json
from pathlib import Path

import pytest

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import atomic_path, write_text
from qaclims_path.files.made_with import INDEX, begin, check_same, made_with, refuse_foreign, stranger

CHANGED = r"was made with other options: scales\.flip was True, now False; par was not there, now 1\. Remove it\."


def test_the_note_is_written_once_and_other_settings_are_refused(tmp_path: Path) -> None:
    note = tmp_path / "out" / "made.json"
    made_with(note, {"sizes": (1.0, 2.0), "scales": {"flip": True}})
    assert json.loads(note.read_text()) == {"sizes": [1.0, 2.0], "scales": {"flip": True}}
    before = note.stat().st_mtime_ns
    made_with(note, {"sizes": (1.0, 2.0), "scales": {"flip": True}})
    assert note.stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=CHANGED):
        made_with(note, {"sizes": [1.0, 2.0], "scales": {"flip": False}, "par": 1}, "Remove it.")


def test_a_folder_can_be_compared_without_being_marked(tmp_path: Path) -> None:
    made_with(tmp_path / "made.json", {"size": 1}, write=False)
    assert not (tmp_path / "made.json").exists()


def test_an_option_that_is_younger_than_the_folder_has_its_default(tmp_path: Path) -> None:
    note = tmp_path / "made.json"
    made_with(note, {"size": 1})
    made_with(note, {"size": 1, "blur": False}, defaults={"blur": False, "size": 7})
    with pytest.raises(UsageError, match=r"blur was False, now True\."):
        made_with(note, {"size": 1, "blur": True}, defaults={"blur": False})


def test_what_differs_can_be_named_in_the_words_of_the_command(tmp_path: Path) -> None:
    note = tmp_path / "made.json"
    made_with(note, {"size": 1})
    with pytest.raises(UsageError, match=r"other options: those of a small one\. Choose"):
        made_with(note, {"size": 2}, describe=lambda before, now: f"those of a {before and now and 'small'} one")


def test_a_damaged_note_is_a_sentence_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text("[")
    with pytest.raises(BadFile, match=r"made\.json cannot be read: .*\. Choose another --out"):
        made_with(tmp_path / "made.json", {})


def test_all_options_that_differ_are_named() -> None:
    check_same("it", {"a": 1, "b": None}, {"a": 1})
    with pytest.raises(UsageError, match="lr was 1, now 2; new was not there, now 3; old was 4, now not there"):
        check_same("it", {"lr": 1, "old": 4}, {"lr": 2, "new": 3})


def test_a_folder_of_images_is_continued_only_with_the_same_options(tmp_path: Path) -> None:
    note, index, unfinished = tmp_path / "masks.json", tmp_path / INDEX, tmp_path / "a" / ".1.part.png"
    begin(note, {"crf": 1}, "*/.*.part.png")
    unfinished.parent.mkdir()
    for path in (index, unfinished):
        path.touch()
    with pytest.raises(UsageError, match=rf"crf was 1, now 2\. Remove {tmp_path}, or choose another --out"):
        begin(note, {"crf": 2}, "*/.*.part.png")
    assert index.exists()
    assert unfinished.exists()
    begin(note, {"crf": 1}, "*/.*.part.png")
    assert not index.exists()
    assert not unfinished.exists()


def test_files_of_other_programs_are_refused(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new" / "made.json", "`qaclims demo`")
    write_text(tmp_path / "thesis.doc", "x")
    with pytest.raises(UsageError, match=r"holds 'thesis\.doc', which `qaclims demo` did not write\. Choose another"):
        refuse_foreign(tmp_path / "made.json", "`qaclims demo`")
    with pytest.raises(UsageError, match=r"thesis\.doc is a file\. Choose another --out"):
        refuse_foreign(tmp_path / "thesis.doc" / "made.json", "`qaclims demo`")
    with pytest.raises(UsageError, match=r"cannot be used: File name too long\. Choose another --out"):
        refuse_foreign(tmp_path / ("x" * 300) / "made.json", "`qaclims demo`")
    made_with(tmp_path / "made.json", {})
    refuse_foreign(tmp_path / "made.json", "`qaclims demo`")


def test_a_folder_without_its_note_is_foreign_unless_another_process_begins_it(tmp_path: Path) -> None:
    note = tmp_path / "out" / "made.json"
    assert stranger(note) is None
    (note.parent / "state").mkdir(parents=True)
    with atomic_path(note) as temporary:  # of another process, or of one that was killed
        temporary.write_text("{")
        assert temporary.name in {path.name for path in note.parent.iterdir()}
        assert stranger(note) is None
    assert stranger(note) is None
    write_text(note.parent / "b.part", "x")
    write_text(note.parent / "a.txt", "x")
    note.unlink()
    assert stranger(note) == "a.txt"
    (note.parent / "a.txt").unlink()
    assert stranger(note) == "b.part"


def test_a_note_that_is_written_while_the_folder_is_listed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "made.json"
    write_text(tmp_path / "result.csv", "x")
    listed = Path.iterdir

    def late(folder: Path) -> list[Path]:
        found = list(listed(folder))
        write_text(note, "{}")
        return found

    monkeypatch.setattr(Path, "iterdir", late)
    assert stranger(note) is None
