import json
import pickle

import numpy as np
import pytest
import tifffile

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.errors import BadFile, DatasetProblem
from qaclims_path.pipeline.datasets.check import check


@pytest.fixture
def card(checkout):
    return load_card(checkout / "tests" / "cards" / "tiles-tiny.yaml")


@pytest.fixture
def root(card, tmp_path):
    write_fake(card, tmp_path / "tiles", images=5)
    return tmp_path / "tiles"


def test_records_in_the_order_of_the_manifest(card, root):
    records = list_records(card, root, "val")
    assert [record.id for record in records] == [record.image.name for record in records]
    assert all(record.mask is None and record.present for record in records)
    assert {record.patient for record in records} == {"0004", "0005", "0006"}
    assert (
        str(records[0].image) == f"the tile at {records[0].image.x}, {records[0].image.y} of {records[0].image.slide}"
    )


def test_pixels_are_those_of_the_slide(card, root):
    for record in list_records(card, root, "train"):
        slide = tifffile.imread(record.image.slide)
        x, y = record.image.x, record.image.y
        assert np.array_equal(record.image.pixels(), slide[y : y + 64, x : x + 64])
        assert record.image.size() == (64, 64)


def test_workers_open_slides_of_their_own(card, root):
    from torch.utils.data import DataLoader

    dataset = open_dataset(card, root, "train")
    assert pickle.loads(pickle.dumps(dataset.records)) == dataset.records
    plain = [sample.image for sample in dataset]  # the slides are open when the workers begin
    loaded = list(DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    assert all((a == b.image).all() for a, b in zip(plain, loaded, strict=True))


def test_check_names_what_is_wrong(card, root):
    assert check(card, root).passed
    assert check(card, root, quick=True).passed
    slide = next((root / "fake-slides").iterdir())
    slide.write_bytes(slide.read_bytes()[:3000])
    problems = check(card, root).problems
    assert [group.kind for group in problems] == ["unreadable"]
    assert slide.name in problems[0].first[0]


@pytest.mark.parametrize("file", ["manifest.csv", "slides.csv", "tiling.json"])
def test_an_unfinished_folder(card, root, file):
    (root / file).unlink()
    with pytest.raises(DatasetProblem, match=rf"has no {file}.*qaclims slides tile"):
        list_records(card, root, "train")


def test_moved_and_unlisted_slides(card, root):
    next((root / "fake-slides").iterdir()).rename(root / "fake-slides" / "elsewhere.tiff")
    with pytest.raises(DatasetProblem, match=r"1 of 3 slides are not where they were.*column 'slide'.*--out"):
        [list_records(card, root, name) for name in card.splits]
    rows = (root / "slides.csv").read_text().splitlines()
    (root / "slides.csv").write_text("\n".join([rows[0], *rows[2:]]) + "\n")
    with pytest.raises(BadFile, match="does not list the slide"):
        list_records(card, root, "train")


def test_names_that_lead_out_of_the_folder(card, root):
    manifest = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(manifest.replace(",slide-0001,", ",../../etc,"))
    how = json.loads((root / "tiling.json").read_text())
    (root / "tiling.json").write_text(json.dumps({**how, "write": "png"}))
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "train")


def test_damaged_books(card, root):
    (root / "tiling.json").write_text("{")
    with pytest.raises(BadFile, match=r"tiling\.json cannot be read"):
        list_records(card, root, "train")
    (root / "tiling.json").write_text("[]")
    with pytest.raises(BadFile, match="should hold an object"):
        list_records(card, root, "train")


@pytest.fixture
def masked(checkout, tmp_path):
    """A card whose split val has masks, and a folder of it."""
    card = load_card(checkout / "tests" / "cards" / "tiles-masks.yaml")
    write_fake(card, tmp_path / "masked", images=5)
    return card, tmp_path / "masked"


def test_masks_lie_in_a_folder_per_slide(masked):
    card, root = masked
    records = list_records(card, root, "val")
    assert all(record.present is None for record in records)
    for record in records:
        slide, x, y = record.id.rsplit("_", 2)
        assert record.mask.path == root / "masks" / slide / f"{x}_{y}.png"
    assert len({record.mask.path.parent for record in records}) == 3
    assert all(record.mask is None and record.present for record in list_records(card, root, "train"))


def test_a_split_may_have_masks_and_labels(masked):
    card, root = masked
    both = card.split("val").model_copy(update={"labels_from": "table"})
    for record in list_records(card.model_copy(update={"splits": {"val": both}}), root, "val"):
        assert record.present == classes_in(card, truth_of(card, record))


def test_mask_folders_that_are_missing(masked):
    card, root = masked
    (root / "masks" / "slide-0004").rename(root / "masks" / "elsewhere")
    with pytest.raises(DatasetProblem, match=r"has no masks of slide-0004\. Run `qaclims slides tile` with --masks"):
        list_records(card, root, "val")
    assert [group.kind for group in check(card, root).problems] == ["masks"]
    (root / "masks").rename(root / "gone")
    with pytest.raises(DatasetProblem, match=r"has no 'masks' \(the masks of the split 'val'"):
        list_records(card, root, "val")
    assert list_records(card, root, "train")


def test_folders_of_masks_are_not_taken_for_masks(masked):
    """A slide may be called like a picture."""
    card, root = masked
    for place in (root / "masks", root / "fake-slides"):
        (found,) = place.glob("slide-0004*")
        found.rename(place / "a.tiff")
    for table in ("manifest.csv", "slides.csv"):
        text = (root / table).read_text().replace("fake-slides/slide-0004.tiff", "fake-slides/a.tiff")
        (root / table).write_text(text.replace("slide-0004", "a.tiff"))
    assert "a.tiff" in {record.mask.path.parent.name for record in list_records(card, root, "val")}
    assert check(card, root).passed


def test_masks_that_lead_out_of_the_folder(masked):
    card, root = masked
    for table in ("manifest.csv", "slides.csv"):
        (root / table).write_text((root / table).read_text().replace(",slide-0004,", ",../../etc,"))
    how = json.loads((root / "tiling.json").read_text())
    (root / "tiling.json").write_text(json.dumps({**how, "write": "png"}))
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "val")
