"""Folders that are begun, gone on with, and refused."""

import pytest

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.made_with import INDEX, begin


def test_a_folder_is_gone_on_with_only_as_it_was_begun(tmp_path):
    note, index, left_over = tmp_path / "masks.json", tmp_path / INDEX, tmp_path / "a" / ".1.part.png"
    begin(note, {"scales": (1.0, 2.0), "crf": 1}, "masks", "*/.*.part.png")
    left_over.parent.mkdir()
    for path in (index, left_over):
        path.touch()
    with pytest.raises(UsageError, match=r"holds masks made with another crf, par\. Remove it, or choose another"):
        begin(note, {"scales": [1.0, 2.0], "par": 1}, "masks", "*/.*.part.png")
    assert index.exists()
    assert left_over.exists()
    begin(note, {"scales": [1.0, 2.0], "crf": 1}, "masks", "*/.*.part.png")
    assert not index.exists()
    assert not left_over.exists()
    note.write_text("[")
    with pytest.raises(BadFile, match=rf"masks\.json cannot be read: .*\. Remove {tmp_path}, and make the masks again"):
        begin(note, {}, "masks", "*/.*.part.png")
