"""A folder of images with a table of labels."""

import pytest

from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, DatasetProblem

TABLE = {"images": ["images"], "labels_from": "table", "labels": ["labels.csv"]}
CLASSES = [
    {"name": "benign_gland", "display": "Benign", "color": (1, 1, 1), "synonyms": ("adenoma",)},
    {"name": "tumour", "color": (2, 2, 2)},
]


def listed(card, root):
    return [(r.id, r.present, r.patient) for r in list_records(card, root, "one")]


@pytest.fixture
def card(make_card):
    return make_card("folder", TABLE, classes=CLASSES, patient=r"^(\w)")


@pytest.mark.parametrize(
    "header", ["file,case,benign_gland,Tumour", "Image,Patient,Benign,tumour", "NAME,patient,ADENOMA,TUMOUR"]
)
def test_a_table_may_have_a_column_for_each_class(tmp_path, card, put, header):
    put(tmp_path / "images", "x.1.png", "y.jpg")
    text = f"\ufeff{header}\r\nx.1,7,1,0\r\nsome/y.jpg,,0,1\r\nelsewhere.png,9,1,1\r\n"
    (tmp_path / "labels.csv").write_bytes(text.encode())
    assert listed(card, tmp_path) == [("x.1", (0,), "7"), ("y", (1,), "y")]


def test_a_table_may_have_one_column_of_class_names(tmp_path, card, put):
    put(tmp_path / "images", "x.png", "y.png", "z.png")
    (tmp_path / "labels.csv").write_text("id,labels\nx,Tumour; benign gland\ny,adenoma|Benign\nz,\n")
    assert [present for _, present, _ in listed(card, tmp_path)] == [(0, 1), (0,), ()]


@pytest.mark.parametrize(
    "text",
    ["file,benign,tumour\nx,1,?\ny,?,0\n", "file,labels\nx,benign; tumour?\ny,adenoma ?\n"],
    ids=["columns", "names"],
)
def test_a_class_may_be_unknown(tmp_path, card, put, text):
    put(tmp_path / "images", "x.png", "y.png")
    (tmp_path / "labels.csv").write_text(text)
    found = [(record.present, record.unknown) for record in list_records(card, tmp_path, "one")]
    assert found == [((0,), (1,)), ((), (0,))]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("file,benign,tumour\nx,1,maybe\ny,0,0\ny,0,0\n", r"line 2: tumour is 'maybe'.*; line 4: 'y' has a second row"),
        ("file,benign,tumour\nx,,1\n", r"line 2: benign is '', which is neither 0 nor 1"),
        ("file,labels\nx,tumor\n", r"line 2: there is no class 'tumor' on the card"),
        ("file,tumour\nx,1\n", "benign_gland has none"),
        ("picture,tumour\nx,1\n", "no column for the image"),
        ("file,benign,tumour\ny,1,1\n", r"1 image without a row in .*: 'x.png'"),
        ("file,benign,tumour\nx,1\n", "expected 3 values"),
    ],
)
def test_bad_tables_are_refused(tmp_path, card, put, text, match):
    put(tmp_path / "images", "x.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises((BadFile, DatasetProblem), match=match):
        list_records(card, tmp_path, "one")


def test_a_missing_table_is_refused(tmp_path, card, put):
    put(tmp_path / "images", "x.png")
    with pytest.raises(DatasetProblem, match=r"no 'labels.csv' \(the table of labels"):
        list_records(card, tmp_path, "one")


@pytest.fixture
def listed_masks(tmp_path, make_card, put):
    """A card whose split has masks, a list and a pattern of names, and four images of which two have masks."""
    split = {
        "images": ["images"],
        "masks": ["truth"],
        "mask_name": "{stem}_mask.png",
        "supervision": "masks",
        "labels_from": "masks",
        "list": ["val.txt"],
        "match": r"^[ab]",
    }
    put(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    put(tmp_path / "truth", "a_mask.png", "b_mask.png")
    return make_card("folder", split)


def test_a_split_has_the_images_that_are_listed_and_match_in_the_order_of_the_list(tmp_path, listed_masks):
    (tmp_path / "val.txt").write_bytes(b"\xef\xbb\xbfb\r\n\r\nc.jpg\r\nsub/a.jpg\r\nnot-here\r\n")
    records = list_records(listed_masks, tmp_path, "one")
    assert [(r.id, str(r.mask)) for r in records] == [
        ("b", str(tmp_path / "truth" / "b_mask.png")),
        ("a", str(tmp_path / "truth" / "a_mask.png")),
    ]


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"../../secret\n", BadFile, r"val.txt names '../../secret', which leads out of"),
        (b"x\ny\n", DatasetProblem, "its list names none of them"),
        (b"\xff\xfe\x00", BadFile, "cannot be read as a list"),
    ],
)
def test_bad_lists_are_refused(tmp_path, listed_masks, content, error, sentence):
    (tmp_path / "val.txt").write_bytes(content)
    with pytest.raises(error, match=sentence):
        list_records(listed_masks, tmp_path, "one")


def test_a_pattern_that_matches_no_name_is_refused(tmp_path, make_card, put):
    put(tmp_path / "images", "a.jpg")
    card = make_card("folder", {**TABLE, "match": "^train_"})
    with pytest.raises(DatasetProblem, match=r"no name matches '\^train_'"):
        list_records(card, tmp_path, "one")


LISTED = {**TABLE, "labels": ["train.csv"], "list": ["train.csv"]}


def test_a_table_may_be_the_list_of_its_split(tmp_path, make_card, put):
    put(tmp_path / "images", "x.1.jpg", "y.jpg", "z.jpg")
    (tmp_path / "train.csv").write_text("Image_Name,NC,benign,tumour\ny.jpg,0,1,0\nx.1.jpg,1,0,0\ngone.jpg,0,0,1\n")
    card = make_card("folder", LISTED, classes=CLASSES)
    assert listed(card, tmp_path) == [("y", (0,), None), ("x.1", (), None)]


def test_a_list_without_a_column_for_the_image_is_refused(tmp_path, make_card, put):
    put(tmp_path / "images", "x.png")
    (tmp_path / "train.csv").write_text("picture,benign,tumour\nx,1,0\n")
    with pytest.raises(BadFile, match=r"train\.csv has no column for the image.*Found: picture, benign, tumour"):
        listed(make_card("folder", LISTED, classes=CLASSES), tmp_path)
