"""Made-up data sets: many classes, shared images, cards without background, failed writing."""

import pytest

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import NotRegistered


def test_one_image_holds_all_eighty_classes(tmp_path):
    write_fake(load_card("coco2014"), tmp_path / "coco", images=1)
    [sample] = open_dataset("coco2014", tmp_path / "coco", "val")
    assert sample.present.sum() == 80


def test_more_images_than_classes_can_be_written(tmp_path):
    write_fake(load_card("bcss-wsss"), tmp_path / "bcss", images=9)
    assert len(open_dataset("bcss-wsss", tmp_path / "bcss", "test")) == 9


def test_splits_that_share_their_images_are_written_once(tmp_path):
    """A split with masks may have the images of a split with labels."""
    split = {"part": "train", "images": ["img"], "labels_from": "table", "labels": ["labels.csv"]}
    facts = load_card("folder").model_dump()
    splits = {"train": {**split, "supervision": "labels"}}
    splits["ceiling"] = {**split, "supervision": "masks", "masks": ["mask"], "labels_from": "masks", "labels": []}
    card = Card.model_validate({**facts, "splits": splits})
    write_fake(card, tmp_path / "out")
    labelled, masked = (open_dataset(card, tmp_path / "out", name) for name in splits)
    assert [s.id for s in labelled] == [s.id for s in masked]
    assert all((a.present == b.present).all() for a, b in zip(labelled, masked, strict=True))
    assert labelled[0].mask is None
    assert masked[0].mask is not None


def test_a_card_without_background_gives_masks_without_background(tmp_path):
    facts = load_card("bcss-wsss").model_dump()
    codes = {code: name for code, name in facts["codes"].items() if name != "background"}
    card = Card.model_validate({**facts, "background": None, "codes": codes})
    write_fake(card, tmp_path / "out")
    for sample in open_dataset(card, tmp_path / "out", "val"):
        assert set(sample.mask.unique().tolist()) <= {0, 1, 2, 3, 255}


def test_nothing_is_left_when_writing_fails(tmp_path):
    card = load_card("bcss-wsss").model_copy(update={"format": "unheard-of"})
    with pytest.raises(NotRegistered, match="no format 'unheard-of'"):
        write_fake(card, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
