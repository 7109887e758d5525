"""Promises of every data set, tried on every card with made-up images, and on real ones where they are."""

from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.card import IGNORE
from qaclims_path.data.cards import card_paths, load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import MaskFile, classes_in, truth_of
from qaclims_path.errors import UsageError
from qaclims_path.files.folders import list_files

CHECKOUT = Path(__file__).parents[2]
FOLDERS = CHECKOUT / "tests" / "cards", CHECKOUT / "scripts" / "reproduce" / "cards"
OWN = {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.yaml"))}
CARDS = {**card_paths(), **OWN}


@pytest.fixture(scope="module", params=sorted(CARDS))
def fake(request, tmp_path_factory):
    """A card, and its fake data set."""
    card = load_card(CARDS[request.param])
    root = tmp_path_factory.mktemp("fake") / request.param
    write_fake(card, root, seed=3, images=5)
    return card, root


def test_every_split_opens(fake):
    card, root = fake
    for name, split in card.splits.items():
        dataset = open_dataset(card, root, name)
        assert len(dataset) == 5
        assert len({record.id for record in dataset.records}) == 5
        for sample in (dataset[0], dataset[-1]):
            channels, height, width = sample.image.shape
            assert channels == 3
            assert 0 <= sample.image.min() < sample.image.max() <= 1
            assert sample.present.shape == (len(card.classes),)
            assert sample.present.any()
            assert (sample.mask is None) == (split.supervision == "labels")
            if sample.mask is not None:
                assert sample.mask.shape == (height, width)


def test_present_agrees_with_the_mask(fake):
    card, root = fake
    for name, split in card.splits.items():
        if split.supervision == "masks":
            for record in list_records(card, root, name):
                in_mask = classes_in(card, truth_of(card, record))
                assert in_mask
                assert record.present is None or record.present == in_mask


def test_every_class_appears_in_every_split(fake):
    card, root = fake
    for name in card.splits:
        dataset = open_dataset(card, root, name, masks=False)
        assert sum(sample.present for sample in dataset).bool().all()


def test_codes_survive_decoding_and_encoding(fake):
    card, root = fake
    for name, split in card.splits.items():
        if split.supervision == "masks":
            for record in list_records(card, root, name):
                codes = record.mask.codes()
                np.testing.assert_array_equal(card.encode(card.decode(codes, record.mask)), codes)
                if "ignore" in card.codes.values() and card.format != "coco":
                    assert (truth_of(card, record)[-1] == IGNORE).all()


def test_patients_are_in_one_part_only(fake):
    card, root = fake
    parts: dict[str, set[str]] = {}
    for name, split in card.splits.items():
        for record in list_records(card, root, name):
            if record.patient is not None:
                parts.setdefault(record.patient, set()).add(split.part)
    assert all(len(found) == 1 for found in parts.values())


def test_no_mask_is_opened_for_a_split_of_labels(fake, tmp_path):
    """Splits that train on labels open although all masks of the data set are damaged."""
    card, root = fake
    trained = [name for name, split in card.splits.items() if split.supervision == "labels"]
    if not trained:
        pytest.skip("every split of this card has masks")
    copy = tmp_path / "copy"
    copy.symlink_to(root, target_is_directory=True)
    masks = {
        path
        for split in card.splits.values()
        for folder in (*split.masks, *split.background_masks)
        if (root / folder).is_dir()
        for path in (root / folder / name for name in list_files(root / folder))
    }
    before = {path: path.read_bytes() for path in masks}
    try:
        for path in masks:
            path.write_bytes(b"not a mask")
        for name in trained:
            assert all(sample.mask is None for sample in open_dataset(card, copy, name))
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_a_made_up_set_never_overwrites_files(fake):
    with pytest.raises(UsageError, match="not empty"):
        write_fake(*fake)


def test_a_made_up_set_has_the_same_files_for_the_same_seed(fake, tmp_path):
    card, root = fake
    write_fake(card, tmp_path / "again", seed=3, images=5)
    files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert set(files) == again
    assert all((tmp_path / "again" / path).read_bytes() == content for path, content in files.items())


REAL = [
    ("wsss4luad", "wsss4luad", {"train": 564, "val": 17}),
    ("wsss4luad-ceiling", "wsss4luad", {"train": 564, "val": 17, "supervised": 564}),
    ("voc2012", "voc2012", {"train_aug": 250, "train": 250, "val": 120}),
    ("voc2012-animals", "voc2012", {"train_aug": 250, "val": 120}),
    ("coco-tiny", "coco-tiny", {"train": 32, "train_masks": 32, "val": 6}),
    ("glas-patches", "glas", {"train": 842, "val": 31, "supervised": 842}),
]


@pytest.mark.parametrize(("name", "folder", "counts"), REAL, ids=[row[0] for row in REAL])
def test_real_data_sets_are_read(real_data, name, folder, counts):
    card = load_card(CARDS[name])
    for split, count in counts.items():
        dataset = open_dataset(card, real_data / folder, split)
        assert len(dataset) == count
        assert all(record.mask is None for record in dataset.records) == (card.splits[split].supervision == "labels")
        for index in (0, count // 2, -1):
            sample = dataset[index]
            assert sample.image.shape[0] == 3
            assert sample.mask is None or sample.mask.shape == sample.image.shape[1:]


def test_real_labels_hold_every_class_of_the_mask(real_data):
    """Boxes of VOC and instances of COCO, crowds included, name at least what the masks show."""
    for name, folder, split in (("voc2012", "voc2012", "val"), ("coco-tiny", "coco-tiny", "val")):
        card = load_card(CARDS[name])
        for record in list_records(card, real_data / folder, split)[:40]:
            assert set(classes_in(card, truth_of(card, record))) <= set(record.present)


def test_real_background_masks_mark_background(real_data):
    card = load_card("wsss4luad")
    record = list_records(card, real_data / "wsss4luad", "val")[0]
    assert isinstance(record.mask, MaskFile)
    assert record.mask.background is not None
    assert (record.mask.codes() == 3).any()
