"""Damaged or changed JSON files are one sentence, with the way out."""

import json

import pytest

from qaclims_path.errors import BadFile
from qaclims_path.files.json_files import read_object, read_objects


def test_a_written_list_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"ä": [1, None]}), encoding="utf-8")
    assert read_object(path, "Remove it.") == {"ä": [1, None]}
    path.write_text('[{"a": 1}, {}]', encoding="utf-8")
    assert read_objects(path, "Remove it.") == [{"a": 1}, {}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read: Expecting value"),
        (b"{", "cannot be read: "),
        (b'"\xff"', "cannot be read: .*utf-8"),
        (b"7", "should hold"),
        (b"[{}, 7]", "should hold"),
        (b"null", "should hold"),
    ],
)
def test_other_files_are_one_sentence(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (read_object, read_objects):
        with pytest.raises(BadFile, match=rf"a\.json {reason}.*\. Remove it\.$"):
            read(path, "Remove it.")


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(BadFile, match=r"a\.json cannot be read: No such file or directory\. Remove it\.$"):
        read_object(tmp_path / "a.json", "Remove it.")
