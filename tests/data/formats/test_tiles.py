import json
import pickle

import numpy as np
import pytest
import tifffile

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, DatasetProblem
from qaclims_path.recipes.check import check


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
    with pytest.raises(BadFile, match="does not hold the options"):
        list_records(card, root, "train")
