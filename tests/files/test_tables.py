"""Reading and writing CSV."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import BadFile
from qaclims_path.files.tables import cell, read_csv, write_csv


def table(folder: Path, content: bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"file,tumor\na.png,1\n",
        b"\xef\xbb\xbffile,tumor\r\na.png,1\r\n",
        b" file , tumor \n a.png , 1 \n",
        b'"file","tumor"\n"a.png","1"',
        b"file,tumor\n\na.png,1\n\n",
        b"\xef\xbb\xbffile;tumor\r\na.png;1\r\n",
    ],
    ids=["plain", "spreadsheet", "blanks", "quoted", "empty lines", "spreadsheet with decimal commas"],
)
def test_the_same_table_in_several_spellings(tmp_path: Path, content: bytes) -> None:
    assert list(read_csv(table(tmp_path, content), ["file"])) == [{"file": "a.png", "tumor": "1"}]


def test_cells_may_hold_other_scripts_commas_and_line_breaks(tmp_path: Path) -> None:
    path = table(tmp_path, 'file,note\nö.png,"a, b\nc"\n'.encode())
    assert list(read_csv(path)) == [{"file": "ö.png", "note": "a, b\nc"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name,tumor\na,1\n", r"has no column file\. Columns found: name, tumor\."),
        (b"", r"has no column file\. Columns found: none\."),
        (b"file,tumor\na\n", r"line 2: expected 2 values separated by commas"),
        (b"file,tumor\na,1,2\n", r"line 2: expected 2 values separated by commas"),
        (b"file,tumor,tumor\na,1,0\n", r"has the column tumor twice"),
        ("file,tumor\nä,1\n".encode("latin-1"), r"cannot be read as CSV: .*utf-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff", r"cannot be read as CSV: .*utf-8"),
        (b"file,tumor\n" + b"x" * 200_000 + b",1\n", r"cannot be read as CSV: field larger than field limit"),
        (b"file;tumor\na,1\n", r"line 2: expected 2 values separated by semicolons"),
        (b"name;tumor\na;1\n", r"has no column file\. Columns found: name, tumor\."),
        (b"file\ttumor\na\t1\n", r"seems to be separated by tabs, .*where commas are expected"),
        (b"file,tumor;stroma\na,1;0\n", r"separated by semicolons, at least at 'tumor;stroma' in its first line"),
        (b"file;tumor\tstroma\na;1\t0\n", r"separated by tabs, .*where semicolons are expected"),
    ],
    ids=[
        "other column",
        "empty",
        "short row",
        "long row",
        "column twice",
        "latin",
        "picture",
        "huge cell",
        "commas under semicolons",
        "semicolons",
        "tabs",
        "semicolons under commas",
        "tabs under semicolons",
    ],
)
def test_an_unusable_table_says_why(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(BadFile, match=sentence) as caught:
        list(read_csv(table(tmp_path, content), ["file"]))
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for path, reason in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "loop.csv", "Too many"),
    ):
        with pytest.raises(BadFile, match=rf"cannot be read as CSV: {reason}"):
            list(read_csv(path))


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    path = table(tmp_path, b"file\n")
    path.chmod(0)
    with pytest.raises(BadFile, match=r"cannot be read as CSV: Permission denied"):
        list(read_csv(path))


@given(content=st.binary(max_size=80))
def test_any_bytes_give_rows_or_a_sentence(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        rows = list(read_csv(path))
    except BadFile:
        return
    assert all(isinstance(value, str) for row in rows for value in row.values())


@given(rows=st.lists(st.tuples(st.text('abä,"; \n', max_size=6), st.integers() | st.none()), max_size=5))
def test_written_files_are_read_back(
    rows: list[tuple[str, int | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "back.csv"
    write_csv(path, [{"name": name, "count": count, "not a column": 1} for name, count in rows], ["name", "count"])
    read = list(read_csv(path, ["name", "count"]))
    assert read == [{"name": name.strip(), "count": cell(count)} for name, count in rows]


def test_numbers_are_short_and_missing_ones_empty() -> None:
    assert [cell(value) for value in (0.5, 1 / 3, float("nan"), None, 7, True, "x")] == [
        "0.5",
        "0.333333",
        "",
        "",
        "7",
        "True",
        "x",
    ]
