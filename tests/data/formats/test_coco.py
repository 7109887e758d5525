"""COCO instances: polygons, run lengths, crowds, order of drawing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as painter

from qaclims_path.data.formats import coco
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import load_record, truth_of
from qaclims_path.errors import BadFile, DatasetProblem

SPLIT = {"images": ["images"], "labels_from": "annotations", "labels": ["instances.json"], "supervision": "masks"}
LEFT, ALL = [0, 0, 3, 0, 3, 4, 0, 4], [0, 0, 6, 0, 6, 4, 0, 4]


def shape(category, segmentation, image=1, crowd=0):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": crowd}


def write(root, annotations, **over):
    tree = {
        "images": [{"id": i, "file_name": f"{n}.jpg", "height": 4, "width": 6} for i, n in ((1, "x"), (2, "y"))],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in ((11, "A"), (12, "b"), (13, "sea"), (90, "spoon"))],
    }
    (root / "instances.json").write_text(json.dumps({**tree, **over}))


@pytest.fixture
def card(make_card):
    classes = [{"name": n, "color": (1, 2, 3), "synonyms": s} for n, s in (("a", ()), ("b", ()), ("c", ("sea",)))]
    return make_card("coco", SPLIT, classes=classes)


@pytest.fixture
def root(tmp_path, put):
    put(tmp_path / "images", "x.jpg")
    return tmp_path


def codes(card, root):
    [record] = list_records(card, root, "one")
    return record.mask.codes()


@pytest.fixture
def crowded(root):
    """Class a everywhere, b drawn over its left half, a crowd of c, a spoon, and c on another image."""
    crowd = shape(13, {"size": [4, 6], "counts": [0, 24]}, crowd=1)
    write(root, [shape(11, [ALL]), shape(12, [LEFT]), crowd, shape(90, [ALL]), shape(13, [ALL], 2)])
    return root


def test_later_annotations_are_drawn_over_earlier_ones(card, crowded):
    wanted = np.zeros((4, 6), np.uint8)
    wanted[:, :3] = 1
    np.testing.assert_array_equal(codes(card, crowded), wanted)


def test_an_annotation_can_hide_all_earlier_ones(card, root):
    write(root, [shape(12, [LEFT]), shape(11, [ALL])])
    assert (codes(card, root) == 0).all()


@pytest.mark.parametrize(("counted", "present"), [(False, (0, 1)), (True, (0, 1, 2))])
def test_crowds_count_as_labels_where_the_card_says_so(card, crowded, counted, present):
    counting = card.model_copy(update={"crowd_labels": counted})
    assert list_records(counting, crowded, "one")[0].present == present


def test_an_image_without_annotations_is_background(card, root):
    write(root, [])
    assert (codes(card, root) == 9).all()
    assert list_records(card, root, "one")[0].present == ()


@given(mask=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_run_lengths_are_drawn_in_both_spellings(mask):
    height, width = mask.shape
    packed = painter.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    counts = [0, *counts] if flat[0] else counts
    for segmentation in (
        {"size": [height, width], "counts": packed["counts"].decode()},
        {"size": [height, width], "counts": counts},
    ):
        np.testing.assert_array_equal(coco.draw(segmentation, height, width), mask)


@given(mask=hnp.arrays(np.bool_, (7, 9), elements=st.booleans(), fill=st.nothing()))
def test_what_the_writer_draws_is_read_back(mask):
    if mask.any():
        np.testing.assert_array_equal(coco.draw(coco._rectangles(mask), 7, 9), mask)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[1, 2, 3]],
        [[0, 0, float("nan"), 0, 3, 3]],
        "text",
        None,
        {"size": [4, 6]},
        {"size": [40_000, 60_000], "counts": [24]},
        {"size": [4, 6], "counts": [0, 25]},
        {"size": [4, 6], "counts": [30, -6]},
        {"size": [4, 6], "counts": "~~~~~~~~"},
    ],
)
def test_bad_segmentations_are_refused(card, root, segmentation):
    write(root, [shape(11, segmentation)])
    with pytest.raises(BadFile, match=r"instances.json \(x.jpg\) has a segmentation that cannot be drawn"):
        codes(card, root)


def test_a_huge_image_size_is_refused(card, root):
    write(root, [], images=[{"id": 1, "file_name": "x.jpg", "height": 10**6, "width": 10**6}])
    with pytest.raises(BadFile, match="says it is 1000000 x 1000000 pixels"):
        codes(card, root)


def test_annotations_of_the_size_of_the_image_are_drawn(card, root, draw):
    draw(root / "images" / "x.jpg")
    write(root, [shape(11, [ALL])])
    [record] = list_records(card, root, "one")
    assert (truth_of(card, record) == 0).all()


def test_annotations_of_another_size_than_the_image_are_refused(card, root, draw):
    draw(root / "images" / "x.jpg")
    write(root, [], images=[{"id": 1, "file_name": "x.jpg", "height": 5, "width": 6}])
    [record] = list_records(card, root, "one")
    with pytest.raises(BadFile, match=r"instances.json \(x.jpg\) is 6 x 5 pixels"):
        load_record(card, record)


def test_a_split_of_labels_has_no_masks(root, make_card):
    write(root, [shape(12, [LEFT])], categories=[{"id": i, "name": n} for i, n in ((11, "a"), (12, "b"), (13, "c"))])
    card = make_card("coco", {**SPLIT, "supervision": "labels"})
    [record] = list_records(card, root, "one")
    assert (record.id, record.present, record.mask) == ("x", (1,), None)


def test_a_class_without_a_category_is_refused(card, root):
    write(root, [], categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "bb"}])
    with pytest.raises(DatasetProblem, match=r"no category for b, c.*Add the spelling to the synonyms"):
        list_records(card, root, "one")


def test_a_folder_without_any_listed_image_is_refused(card, root):
    write(root, [], images=[{"id": 1, "file_name": "z.jpg", "height": 5, "width": 6}])
    with pytest.raises(DatasetProblem, match="None of the 1 images"):
        list_records(card, root, "one")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"images": 3}', '{"images": [{}]}', "[" * 100_000, '{"images": [], "annotations": [3]}']
)
def test_damaged_json_is_refused(card, root, text):
    (root / "instances.json").write_text(text)
    with pytest.raises(BadFile, match=r"instances\.json"):
        list_records(card, root, "one")


def test_a_file_name_cannot_lead_out(card, root):
    write(root, [], images=[{"id": 1, "file_name": "../x.jpg", "height": 5, "width": 6}])
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "one")
