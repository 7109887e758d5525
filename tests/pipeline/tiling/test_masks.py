"""Masks of validation and test tiles, drawn from annotations: a tiled folder that can be scored."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.listing import list_records
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.data.record import truth_of
from qaclims_path.errors import DatasetProblem, UsageError
from qaclims_path.files.marks import Label
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.slide import SlideTask
from qaclims_path.pipeline.tiling.tile import TileInputs, _fingerprint, plan, tile
from qaclims_path.slides.cohort.slide_list import SlideEntry

OPTIONS = TileOptions(annotations="complete", mpp=1.0, size=64, stride=64, masks=True)
NAMES = ("lymphocyte", "necrosis", "stroma", "tumor")
TRUTH_NAMES = ("tumor", "stroma", "lymphocyte", "necrosis")  # by code of the phantoms' truth
SPLITS = {"s0": "train", "s1": "val", "s2": "test"}
RUN = """
import sys
from pathlib import Path
from qaclims_path.pipeline.tiling.tile import TileInputs, tile
from qaclims_path.pipeline.tiling.options import TileOptions
table, labels, out, options = sys.argv[1:]
tile(TileInputs((table,), labels=Path(labels)), Path(out), TileOptions.model_validate_json(options))
"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    for i in range(3):
        write_slide(folder, f"s{i}", PhantomSpec(i, 768, 768, mpp=0.5, patient=f"P{i}"))
    return folder


def listed(folder, slides, **changes):
    """A slide list with the splits written out."""
    splits = {**SPLITS, **changes}
    rows = [f"{slides}/{name}.tiff,{name},{split}" for name, split in splits.items()]
    (folder / "slides.csv").write_text("\n".join(["slide,patient,split", *rows]) + "\n")
    return str(folder / "slides.csv")


@pytest.fixture(scope="module")
def tiled(slides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiled")
    return tile(TileInputs((listed(folder, slides),), labels=slides), folder / "tiles", OPTIONS)


@pytest.fixture
def copy(tiled, tmp_path):
    shutil.copytree(tiled.out, tmp_path / "tiles")
    return tmp_path / "tiles"


def masks_of(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "masks").rglob("*.png"))}


def test_the_folder_trains_on_labels_and_is_scored_by_masks(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    assert card.names == NAMES
    assert {name: split.supervision for name, split in card.splits.items()} == {
        "train": "labels", "val": "masks", "test": "masks",
    }  # fmt: skip
    report = check(card, out, complete=True)
    assert report.passed, report.problems
    assert [split.state for split in report.splits] == ["complete"] * 3
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["s1", "s2"]
    for name, split in card.splits.items():
        records = list_records(card, out, name)
        assert len(records) == tiled.tiles[name] > 10
        assert all((record.mask is None) == (record.present is not None) == (name == "train") for record in records)
        sample = open_dataset(card, out, name)[0]
        assert sample.present.any()
        assert split.supervision == "labels" or sample.mask.shape == (64, 64)


def test_masks_agree_with_the_truth(tiled, slides):
    """Regions are simplified outlines of coarse classes; half the pixel size, hence every other pixel of the truth."""
    card, out = load_card(tiled.card), Path(tiled.out)
    table = np.array([NAMES.index(name) for name in TRUTH_NAMES] + [card.background_index] * 252, np.uint8)
    right = total = extra = 0
    for name in ("val", "test"):
        for record in list_records(card, out, name):
            truth = table[tifffile.imread(slides / f"{record.image.slide.split('/')[-1][:-5]}_truth.tiff", key=0)]
            x, y = record.image.x, record.image.y
            wanted, found = truth[y : y + 128, x : x + 128][1::2, 1::2], truth_of(card, record)
            known = wanted < card.background_index
            right += (found == wanted)[known].sum()
            total += known.sum()
            extra += (found < card.background_index)[~known].sum()
    assert total > 100_000
    assert right > 0.9 * total
    assert extra < 0.05 * total


def agreement(report, slides, slide):
    """Share of a slide's known pixels that its masks have right, where tiles are read as they are."""
    card = load_card(report.card)
    table = np.array([NAMES.index(name) for name in TRUTH_NAMES] + [card.background_index] * 252, np.uint8)
    truth = table[tifffile.imread(slides / f"{slide}_truth.tiff", key=0)]
    right = total = 0
    for record in list_records(card, Path(report.out), SPLITS[slide]):
        found, x, y = truth_of(card, record), record.image.x, record.image.y
        wanted = truth[y : y + len(found), x : x + len(found)]
        known = wanted < card.background_index
        right, total = right + (found == wanted)[known].sum(), total + known.sum()
    assert total > 100_000
    return right / total


def test_masks_lie_on_the_pixels_where_sizes_only_count_as_equal(slides, tmp_path):
    """Tiles of 0.5 um on a slide of 0.5021 um are read as they are, and not 2 pixels less of them."""
    reports = {}
    for mpp in (0.5, 0.5021):
        table = tmp_path / f"{mpp}.csv"
        rows = [f"{slides}/{name}.tiff,{name},{split},{mpp}" for name, split in SPLITS.items()]
        table.write_text("\n".join(["slide,patient,split,mpp", *rows]) + "\n")
        options = TileOptions(annotations="complete", mpp=0.5, size=384, stride=384, min_tissue=0, masks=True)
        reports[mpp] = tile(TileInputs((str(table),), labels=slides), tmp_path / str(mpp), options)
    first = [masks_of(Path(report.out))["masks/s1/0_0.png"] for report in reports.values()]
    assert first[0] == first[1]
    assert len(masks_of(Path(reports[0.5021].out))) == 8
    equal, other = (agreement(report, slides, "s1") for report in reports.values())
    assert other == pytest.approx(equal, abs=2e-4)


def test_masks_agree_with_the_shares_of_the_manifest(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    rows = {row["tile"]: row for row in read_csv(out / "manifest.csv")}
    for record in list_records(card, out, "val"):
        for index, name in enumerate(card.names):
            share = float(rows[record.id][f"share_{name}"])
            assert (truth_of(card, record) == index).mean() == pytest.approx(share, abs=0.02)


def test_masks_are_pictures_in_the_colours_of_the_annotations(tiled):
    card = load_card(tiled.card)
    for path in Path(tiled.out, "masks").rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.mode == "P"
            codes, colors = np.asarray(picture), np.asarray(picture.convert("RGB"))
        for code in np.unique(codes):
            wanted = (255, 255, 255) if code == 0 else card.classes[code - 1].color
            assert (colors[codes == code] == wanted).all()


def test_perfect_predictions_score_one(tiled, tmp_path):
    card, out = load_card(tiled.card), Path(tiled.out)
    for record in list_records(card, out, "test"):
        (tmp_path / "predicted").mkdir(exist_ok=True)
        shutil.copy(record.mask.path, tmp_path / "predicted" / f"{record.id}.png")
    report = evaluate(tmp_path / "predicted", card, out, "test", bootstrap=10)
    assert report.protocol == "tissue"
    assert report.scores.miou == 1.0
    assert report.images == tiled.tiles["test"]


def test_a_fake_data_set_fits_the_card(tiled, tmp_path):
    card = load_card(tiled.card)
    make_fake(card, tmp_path / "fake", FakeOptions(images=4))
    assert check(card, tmp_path / "fake").passed
    assert all(record.mask is not None for record in list_records(card, tmp_path / "fake", "val"))
    assert list_records(card, tmp_path / "fake", "train")[0].mask is None


def test_a_second_run_changes_nothing_and_a_changed_annotation_its_slide(slides, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in slides.glob("*.geojson"):
        shutil.copy(path, labels)
    given, out = TileInputs((listed(tmp_path, slides),), labels=labels), tmp_path / "tiles"
    tile(given, out, OPTIONS)
    before = masks_of(out)
    tile(given, out, OPTIONS)
    assert masks_of(out) == before
    tree = json.loads((labels / "s2.geojson").read_text())
    tree["features"] = [f for f in tree["features"] if f["properties"]["classification"]["name"] != "tumor"]
    (labels / "s2.geojson").write_text(json.dumps(tree))
    again = tile(given, out, OPTIONS)
    attempts = [json.loads((out / "state" / f"s{i}.json").read_text())["attempts"] for i in range(3)]
    assert attempts == [1, 1, 2]
    changed = {name for name, content in masks_of(out).items() if before[name] != content}
    assert changed
    assert all(name.startswith("masks/s2/") for name in changed)
    card = load_card(again.card)
    assert not any((truth_of(card, r) == NAMES.index("tumor")).any() for r in list_records(card, out, "test"))


def test_a_slide_that_moves_to_training_leaves_no_masks(slides, tmp_path):
    out = tmp_path / "tiles"
    tile(TileInputs((listed(tmp_path, slides),), labels=slides), out, OPTIONS)
    report = tile(TileInputs((listed(tmp_path, slides, s1="train", s0="val"),), labels=slides), out, OPTIONS)
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["s0", "s2"]
    assert check(load_card(report.card), out, complete=True).passed


def test_the_next_run_finishes_a_killed_one(slides, tmp_path, killed_after):
    table, masks = listed(tmp_path, slides), tmp_path / "tiles" / "masks"
    arguments = table, slides, tmp_path / "tiles", OPTIONS.model_dump_json()
    killed_after("qaclims_path.pipeline.tiling.write.write_mask", 5, RUN, *arguments)
    assert [path.name[:3] for path in masks.iterdir()] == [".s1"]
    assert list(masks.glob(".s1*/*.png"))
    given = TileInputs((table,), labels=slides)
    assert tile(given, tmp_path / "tiles", OPTIONS).failed == 0
    tile(given, tmp_path / "undisturbed", OPTIONS)
    assert sorted(path.name for path in masks.iterdir()) == ["s1", "s2"]
    assert masks_of(tmp_path / "tiles") == masks_of(tmp_path / "undisturbed")


def test_masks_that_were_removed_are_a_sentence_and_come_back(tiled, slides, copy):
    card = load_card(tiled.card)
    whole = masks_of(copy)
    shutil.rmtree(copy / "masks" / "s1")
    with pytest.raises(DatasetProblem, match=r"masks has no masks of s1\. Run `qaclims slides tile` with --masks"):
        list_records(card, copy, "val")
    assert len(list_records(card, copy, "test")) == tiled.tiles["test"]
    shutil.rmtree(copy / "masks")
    with pytest.raises(DatasetProblem, match=r"has no 'masks' \(the masks of the split 'val'"):
        list_records(card, copy, "val")
    problems = check(card, copy).problems
    assert [(group.kind, group.count) for group in problems] == [("missing", 2)]  # one sentence per split
    tile(TileInputs((str(slides),), labels=slides), copy, OPTIONS)
    assert masks_of(copy) == whole


def test_a_lost_mask_is_named_by_check(tiled, copy):
    lost = next((copy / "masks" / "s1").iterdir())
    lost.unlink()
    (problem,) = check(load_card(tiled.card), copy).problems
    assert lost.name in problem.first[0]


def test_masks_without_drawn_regions_are_refused(slides, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide,labels\ns0,tumor\ns1,tumor\ns2,stroma\n")
    for labels in (None, table):
        for run in (tile, plan):
            with pytest.raises(
                UsageError, match=r"--masks draws the regions .* no slide has any\. Give --labels a GeoJ"
            ):
                run(TileInputs((str(slides),), labels=labels), tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_slides_of_named_classes_may_be_trained_on_only(slides, tmp_path):
    """A slide list may name classes of one slide, and a GeoJSON of the next."""
    rows = [
        f"{slides}/s0.tiff,train,tumor",
        f"{slides}/s1.tiff,val,tumor;stroma",
        f"{slides}/s2.tiff,test,{slides}/s2.geojson",
    ]
    (tmp_path / "slides.csv").write_text("\n".join(["slide,split,labels", *rows]) + "\n")
    report = tile(TileInputs((str(tmp_path / "slides.csv"),)), tmp_path / "out", OPTIONS)
    assert [line.status for line in report.slides] == ["done", "failed", "done"]
    assert "with --masks the slides for 'val' need drawn regions" in report.slides[1].error
    assert check(load_card(report.card), tmp_path / "out").passed


def test_folders_of_older_versions_are_recognised(slides, tmp_path):
    """Their `tiling.json` has no option for masks."""
    plain = OPTIONS.model_copy(update={"masks": False})
    given, out = TileInputs((str(slides),), labels=slides), tmp_path / "out"
    tile(given, out, plain)
    options = json.loads((out / "tiling.json").read_text())
    assert options.pop("masks") is False
    (out / "tiling.json").write_text(json.dumps(options))
    tile(given, out, plain)
    assert all(json.loads(path.read_text())["attempts"] == 1 for path in (out / "state").glob("s*.json"))
    with pytest.raises(UsageError, match=r"--masks was False, now True\. Choose another --out"):
        tile(given, out, OPTIONS)
    options.pop("mpp")
    (out / "tiling.json").write_text(json.dumps(options))
    with pytest.raises(UsageError, match=r"--mpp was not there, now "):
        tile(given, out, plain)


def test_results_of_older_versions_are_recognised():
    """Without masks, the options have the hash that they had before masks existed."""
    entry = SlideEntry("a", "/x/a.svs", "P1", 0.25, "val")
    options = TileOptions(annotations="complete", mpp=0.5, size=224, stride=112)
    task = SlideTask(entry, Path("out"), options, "", ("tumor",), ((1, 2, 3),), whole=Label((0,)))
    assert _fingerprint(task) == "4595d5945519a8b7f9bb6418c5bb745dcbea7d29b37d74d7843cb6b68116570a"
    assert _fingerprint(replace(task, options=options.model_copy(update={"masks": True}))) != _fingerprint(task)


def test_a_dry_run_counts_masks(slides, tmp_path):
    given = TileInputs((listed(tmp_path, slides),), labels=slides)
    with_masks, without = (
        {p.name: p.bytes / p.tiles for p in plan(given, tmp_path / "out", options)}
        for options in (OPTIONS, OPTIONS.model_copy(update={"masks": False}))
    )
    assert with_masks["s0"] == without["s0"]
    assert with_masks["s1"] > without["s1"]
