"""Labels of whole slides, from labels of their tiles."""

from dataclasses import replace
from pathlib import Path

import pytest

from qaclims_path.data.record import ImageFile, Record
from qaclims_path.data.slide_labels import with_slide_labels
from qaclims_path.errors import UsageError


def record(name, present, slide):
    return Record(name, ImageFile(Path(f"{name}.png")), present, slide=slide)


RECORDS = [record("a1", (0,), "a"), record("a2", (2,), "a"), record("b1", (1,), "b")]


def test_a_slide_shows_what_any_of_its_tiles_shows():
    found = with_slide_labels(RECORDS)
    assert [each.present for each in found] == [(0, 2), (0, 2), (1,)]
    assert [each.id for each in found] == ["a1", "a2", "b1"]


def test_a_class_that_is_unknown_in_a_tile_is_unknown_in_its_slide_unless_another_tile_shows_it():
    found = with_slide_labels([replace(RECORDS[0], unknown=(1, 2)), *RECORDS[1:]])
    assert [(each.present, each.unknown) for each in found] == [((0, 2), (1,)), ((0, 2), (1,)), ((1,), ())]


def test_images_without_a_slide_are_refused():
    with pytest.raises(UsageError, match=r"1 have none \(c.png\).*column 'slide'"):
        with_slide_labels([*RECORDS, record("c", (1,), None)])
