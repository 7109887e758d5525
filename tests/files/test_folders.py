"""Listing folders, finding spellings, joining names."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import BadFile
from qaclims_path.files.folders import first_existing, inside, list_files, stem_key


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def test_images_are_listed_in_order_and_nothing_else(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.png", "a.JPG", "10.tif", "9.tif", "labels.csv", "._a.png", ".DS_Store", ".hidden.png", "c.png.part"
    )
    assert list_files(tmp_path) == ["10.tif", "9.tif", "a.JPG", "b.png"]
    assert list_files(tmp_path, (".csv",)) == ["labels.csv"]


def test_names_of_any_script_are_listed(tmp_path: Path) -> None:
    names = ["Gewebeprobe ä.png", "组织.png", "ткань.png", "🔬.png", "a[1, 0].png"]
    touch(tmp_path, *names)
    assert list_files(tmp_path) == sorted(names)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"probe\xff.png")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(BadFile, match=r"holds a file whose name is not UTF-8: b'probe\\xff\.png'\. Rename it\."):
        list_files(tmp_path)


def test_folders_that_cannot_be_listed_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "file.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, reason in {
        "none": "No such file",
        "file.png": "Not a directory",
        "loop": "Too many levels of symbolic",
    }.items():
        with pytest.raises(BadFile, match=rf"{name} cannot be listed: {reason}.*Check the path and its permissions\."):
            list_files(tmp_path / name)


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    tmp_path.chmod(0)
    try:
        with pytest.raises(BadFile, match=r"cannot be listed: Permission denied"):
            list_files(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_link_to_itself_is_listed_like_any_file(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert list_files(tmp_path) == ["loop.png"]  # reading it says what is wrong


def test_the_first_spelling_that_exists_is_taken(tmp_path: Path) -> None:
    (tmp_path / "valid" / "img").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert first_existing(tmp_path, ["val/img", "loop", "valid/img"]) == tmp_path / "valid" / "img"
    assert first_existing(tmp_path, ["val", "loop/x"]) is None
    assert first_existing(tmp_path, []) is None
    assert first_existing(tmp_path, ["."]) == tmp_path
    with pytest.raises(BadFile, match=r"cannot be followed: File name too long"):
        first_existing(tmp_path, ["n" * 300])


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", "a\0b", ".."])
def test_names_must_stay_inside(name: str) -> None:
    with pytest.raises(BadFile, match=r"list\.txt names .*leads out of .*data"):
        inside(Path("data"), name, "list.txt")


@given(name=st.text(min_size=1, max_size=20))
def test_joined_names_stay_inside_or_are_refused(name: str) -> None:
    root = Path("/data/root")
    try:
        path = inside(root, name, "list.txt")
    except BadFile:
        return
    assert Path(os.path.normpath(path)).is_relative_to(root)


def test_two_systems_spell_an_umlaut_the_same(tmp_path: Path) -> None:
    composed, split = unicodedata.normalize("NFC", "Präparat.png"), unicodedata.normalize("NFD", "Präparat.jpg")
    assert composed[:-4] != split[:-4]
    assert stem_key(composed) == stem_key(f"folder/{split}") == "Präparat"
