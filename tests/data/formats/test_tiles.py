"""Tiles that `qaclims slides tile` cut, read from their slides or from files."""

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


@pytest.mark.parametrize("quick", [False, True])
def test_tiles_of_undamaged_slides_pass_the_check(card, root, quick):
    assert check(card, root, quick=quick).passed


def test_a_check_names_the_damaged_slide(card, root):
    slide = next((root / "fake-slides").iterdir())
    slide.write_bytes(slide.read_bytes()[:3000])
    problems = check(card, root).problems
    assert [group.kind for group in problems] == ["unreadable"]
    assert slide.name in problems[0].first[0]


@pytest.mark.parametrize("file", ["manifest.csv", "slides.csv", "tiling.json"])
def test_an_unfinished_folder_is_refused(card, root, file):
    (root / file).unlink()
    with pytest.raises(DatasetProblem, match=rf"has no {file}.*qaclims slides tile"):
        list_records(card, root, "train")


def test_slides_that_were_moved_are_counted(card, root):
    next((root / "fake-slides").iterdir()).rename(root / "fake-slides" / "elsewhere.tiff")
    with pytest.raises(DatasetProblem, match=r"1 of 3 slides are not where they were.*column 'slide'.*--out"):
        [list_records(card, root, name) for name in card.splits]


def test_slides_that_are_not_listed_are_refused(card, root):
    rows = (root / "slides.csv").read_text().splitlines()
    (root / "slides.csv").write_text("\n".join([rows[0], *rows[2:]]) + "\n")
    with pytest.raises(BadFile, match="does not list the slide"):
        list_records(card, root, "train")


def test_names_that_lead_out_of_the_folder_are_refused(card, root):
    manifest = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(manifest.replace(",slide-0001,", ",../../etc,"))
    how = json.loads((root / "tiling.json").read_text())
    (root / "tiling.json").write_text(json.dumps({**how, "write": "png"}))
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "train")


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", r"tiling\.json cannot be read"), ("[]", "should hold an object")]
)
def test_damaged_settings_are_refused(card, root, content, sentence):
    (root / "tiling.json").write_text(content)
    with pytest.raises(BadFile, match=sentence):
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


def test_a_slide_without_masks_is_refused_and_found_by_the_check(masked):
    card, root = masked
    (root / "masks" / "slide-0004").rename(root / "masks" / "elsewhere")
    with pytest.raises(DatasetProblem, match=r"has no masks of slide-0004\. Run `qaclims slides tile` with --masks"):
        list_records(card, root, "val")
    assert [group.kind for group in check(card, root).problems] == ["masks"]


def test_a_missing_folder_of_masks_stops_only_the_split_that_needs_it(masked):
    card, root = masked
    (root / "masks").rename(root / "gone")
    with pytest.raises(DatasetProblem, match=r"has no 'masks' \(the masks of the split 'val'"):
        list_records(card, root, "val")
    assert list_records(card, root, "train")


def test_folders_of_masks_are_not_taken_for_masks(masked):
    """The folder of masks has the name of its slide, which may end like that of a picture."""
    card, root = masked
    for folder in (root / "masks", root / "fake-slides"):
        (found,) = folder.glob("slide-0004*")
        found.rename(folder / "a.tiff")
    for table in ("manifest.csv", "slides.csv"):
        text = (root / table).read_text().replace("fake-slides/slide-0004.tiff", "fake-slides/a.tiff")
        (root / table).write_text(text.replace("slide-0004", "a.tiff"))
    assert "a.tiff" in {record.mask.path.parent.name for record in list_records(card, root, "val")}
    assert check(card, root).passed


def test_masks_that_lead_out_of_the_folder_are_refused(masked):
    card, root = masked
    for table in ("manifest.csv", "slides.csv"):
        (root / table).write_text((root / table).read_text().replace(",slide-0004,", ",../../etc,"))
    how = json.loads((root / "tiling.json").read_text())
    (root / "tiling.json").write_text(json.dumps({**how, "write": "png"}))
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "val")
