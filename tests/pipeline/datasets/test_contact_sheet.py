from pathlib import Path

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import DatasetProblem, QaclimsError, UsageError
from qaclims_path.files.images import image_size, read_image
from qaclims_path.pipeline.datasets.contact_sheet import draw_sheet

OFFLINE = Path(__file__).resolve().parents[3] / "scripts" / "reproduce" / "cards"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "bcss"
    write_fake(load_card("bcss-wsss"), root, images=10)
    return root


def test_every_class_gets_a_row_of_its_colour(root, tmp_path):
    card = load_card("bcss-wsss")
    report = draw_sheet(card, root, tmp_path / "sheet.png")
    assert (report.split, report.images) == ("val", 10)
    assert set(report.pictures) == set(card.names)
    assert all(1 <= count <= 6 for count in report.pictures.values())
    sheet = read_image(tmp_path / "sheet.png")
    for info in card.classes:
        assert (sheet == info.color).all(axis=-1).any()


def test_the_same_seed_draws_the_same_bytes(root, tmp_path):
    card = load_card("bcss-wsss")
    for name, seed in (("a.png", 3), ("b.png", 3), ("c.png", 4)):
        draw_sheet(card, root, tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b != c


def test_a_split_that_trains_on_labels_shows_images_only(root, tmp_path):
    card = load_card("bcss-wsss")
    draw_sheet(card, root, tmp_path / "val.png", split="val")
    draw_sheet(card, root, tmp_path / "train.png", split="train")
    assert image_size(tmp_path / "train.png")[0] < image_size(tmp_path / "val.png")[0]


def test_a_class_without_images_is_named(real_data, tmp_path):
    report = draw_sheet(load_card("voc2012"), real_data / "voc2012", tmp_path / "voc.png", split="val")
    assert (report.pictures["cat"], report.pictures["aeroplane"]) == (6, 0)


@pytest.mark.parametrize("card", ["voc2012", "coco2014", "glas", "wsss4luad", OFFLINE / "voc2012-animals.yaml"])
def test_every_layout_can_be_drawn(tmp_path, card):
    card = load_card(card)
    write_fake(card, tmp_path / "data", images=2)
    assert sum(draw_sheet(card, tmp_path / "data", tmp_path / "sheet.png").pictures.values()) > 0


def test_wrong_use_is_refused(root, tmp_path):
    card = load_card("bcss-wsss")
    with pytest.raises(QaclimsError, match=r"should end in \.png"):
        draw_sheet(card, root, tmp_path / "sheet.jpg")
    with pytest.raises(UsageError, match="no split 'vall'"):
        draw_sheet(card, root, tmp_path / "sheet.png", split="vall")
    with pytest.raises(DatasetProblem, match="holds no split"):
        draw_sheet(card, tmp_path, tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []
