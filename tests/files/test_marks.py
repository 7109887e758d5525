"""Labels in tables come back as they were written, and anything else is refused."""

from itertools import product

import pytest

from qaclims_path.files.marks import Label, label_of, read_mark, read_names, write_mark


def test_every_mark_comes_back():
    for present, known in product((False, True), repeat=2):
        assert read_mark(write_mark(present, known)) is (present if known else None)


@pytest.mark.parametrize("text", ["", " ", "2", "??", "0?", "-1", "unknown", "nan"])
def test_other_cells_are_refused(text):
    with pytest.raises(ValueError, match="neither 0 nor 1, nor \\? for unknown"):
        read_mark(text)


def test_a_list_names_classes_that_are_present_or_unknown():
    assert read_names(" tumor | fat cells ?;stroma?;") == {"tumor": True, "fat cells": None, "stroma": None}
    assert read_names("") == {}
    assert label_of([False, True, None, True]) == Label((1, 3), (2,))
