from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadFile, DatasetProblem
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.datasets.stats import stats

OFFLINE = Path(__file__).resolve().parents[3] / "scripts" / "reproduce" / "cards"


def put(root, split, name, codes):
    codes = np.asarray(codes, np.uint8)
    for folder in ("images", "masks"):
        (root / split / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*codes.shape, 3), np.uint8)).save(root / split / "images" / name)
    Image.fromarray(codes).save(root / split / "masks" / name)


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: folder\nname: mine\n"
        "classes: [{name: a, color: [255, 0, 0]}, {name: b, color: [0, 255, 0]}, {name: c, color: [0, 0, 255]}]\n"
        "codes: {1: a, 2: b, 3: c}\npatient: '^(p\\d)_'\n",
        encoding="utf-8",
    )
    return load_card(path)


def test_statistics_equal_those_counted_by_hand(tmp_path, card):
    root = tmp_path / "data"
    put(root, "val", "p1_x.png", [[0, 1], [1, 2]])
    put(root, "val", "p1_y.png", [[1, 1, 1]])
    put(root, "val", "p2_z.png", [[255]])
    report = stats(card, root, out=tmp_path / "stats.csv")
    (split,) = report.splits
    assert (split.images, split.patients) == (3, 2)
    assert (split.widths, split.heights) == ((1, 2, 3), (1, 1, 2))
    assert [(found.name, found.images, found.pixels) for found in split.classes] == [
        ("a", 2, 5),
        ("b", 1, 1),
        ("c", 0, 0),
        ("background", None, 1),
        ("ignore", None, 1),
    ]
    assert split.classes[0].image_share == pytest.approx(2 / 3)
    assert split.classes[0].pixel_share == pytest.approx(5 / 8)
    assert split.together == ((2, 1, 0), (1, 1, 0), (0, 0, 0))
    assert split.classes_per_image == (1, 1, 1)
    assert set(report.absent) == {"train", "test"}
    rows = list(read_csv(tmp_path / "stats.csv"))
    assert rows[0] == {
        "split": "val",
        "class": "a",
        "images": "2",
        "image_share": "0.666667",
        "pixels": "5",
        "pixel_share": "0.625",
        "unknown": "0",
    }
    assert rows[3]["images"] == ""


def test_a_split_that_trains_on_labels_has_no_pixels(tmp_path):
    card = load_card("bcss-wsss")
    write_fake(card, tmp_path / "data", images=5)
    train = stats(card, tmp_path / "data").splits[0]
    assert (train.name, train.images) == ("train", 5)
    assert all(found.pixels is None for found in train.classes)
    assert [found.name for found in train.classes] == list(card.names)
    assert sum(n * images for n, images in enumerate(train.classes_per_image)) == sum(
        found.images for found in train.classes
    )


def test_masks_of_a_split_that_trains_on_labels_are_never_opened(tmp_path):
    card = load_card(OFFLINE / "voc2012-animals.yaml")
    root = tmp_path / "voc"
    write_fake(card, root, images=3)
    (root / "ImageSets" / "Segmentation" / "train.txt").unlink()
    (root / "ImageSets" / "Segmentation" / "val.txt").unlink()
    (root / "ImageSets" / "Segmentation" / "misc.txt").unlink()
    for mask in (root / "SegmentationClass").iterdir():
        mask.write_text("not a mask")
    assert [split.name for split in stats(card, root).splits] == ["train_aug"]


def test_data_that_cannot_be_counted_are_refused(tmp_path, card):
    with pytest.raises(DatasetProblem, match="holds no split of 'mine'"):
        stats(card, tmp_path)
    with pytest.raises(BadFile, match="does not exist"):
        stats(card, tmp_path / "none")
    put(tmp_path / "data", "val", "x.png", [[9]])
    with pytest.raises(BadFile, match="holds the code 9"):
        stats(card, tmp_path / "data")


def test_statistics_of_real_data(real_data):
    report = stats(load_card("wsss4luad"), real_data / "wsss4luad")
    train, val = report.splits
    assert (train.images, train.patients) == (564, 50)
    assert (val.images, val.classes[2].images) == (17, 1)
