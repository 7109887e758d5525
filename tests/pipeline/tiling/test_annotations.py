"""Sparse annotations: what is known where somebody drew, and what is not concluded from area without a drawing."""

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
from qaclims_path.data.listing import choose_split, list_records
from qaclims_path.data.protocol import load_protocol
from qaclims_path.data.record import truth_of
from qaclims_path.data.split import open_split
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.made_with import INDEX
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.stats import stats
from qaclims_path.pipeline.evaluation.gates import open_gate
from qaclims_path.pipeline.evaluation.stages import score_labels
from qaclims_path.pipeline.segmenter.data import true_masks
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.train import _validation
from qaclims_path.pipeline.tiling.annotations import ClassLine, untiled_in_training
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, plan, tile

SIDE, TILE = 512, 128
NAMES = ("necrosis", "stroma", "tumor")
NECROSIS, STROMA, TUMOR = range(3)
DRAWN = {  # class, left, top, right, bottom; tiles are squares of 128
    "a": [("tumor", 0, 0, 256, 128), ("stroma", 0, 128, 64, 256)],  # two tiles full of tumor, one half full of stroma
    "b": [("stroma", 0, 0, 128, 128), ("necrosis", 64, 0, 128, 128)],  # one tile, of which one half is both
}
SPARSE = TileOptions(mpp=0.5, size=TILE, stride=TILE, tissue="none", annotations="sparse", masks=True, train_masks=True)


def feature(name, left, top, right, bottom):
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def draw(folder, name, boxes):
    tree = {"type": "FeatureCollection", "features": [feature(*box) for box in boxes]}
    (folder / f"{name}.geojson").write_text(json.dumps(tree))


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A training slide and a validation slide with drawings, and their list."""
    folder = tmp_path_factory.mktemp("slides")
    rows = ["slide,patient,split"]
    for name, split in (("a", "train"), ("b", "val")):
        pixels = np.random.default_rng(len(rows)).integers(80, 200, (SIDE, SIDE, 3), np.uint8)
        size = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(folder / f"{name}.tiff", pixels, photometric="rgb", tile=(256, 256), metadata=None, **size)
        draw(folder, name, DRAWN[name])
        rows.append(f"{name}.tiff,{name},{split}")
    (folder / "slides.csv").write_text("\n".join(rows) + "\n")
    return folder


def inputs(slides, labels=None):
    return TileInputs((str(slides / "slides.csv"),), labels=labels or slides, tissue="none")


@pytest.fixture(scope="module")
def tiled(slides, tmp_path_factory):
    return tile(inputs(slides), tmp_path_factory.mktemp("tiled") / "tiles", SPARSE)


def labels_of(report, split):
    records = list_records(load_card(report.card), Path(report.out), split)
    return {record.id: (record.present, record.unknown) for record in records}


def test_presence_is_known_only_where_it_follows_from_the_drawing(tiled):
    found = labels_of(tiled, "train")
    assert len(found) == 16
    assert found["a_0_0"] == found["a_128_0"] == ((TUMOR,), ())  # full of tumor, so nothing else is there
    assert found["a_0_128"] == ((STROMA,), (NECROSIS, TUMOR))
    others = [label for name, label in found.items() if name not in ("a_0_0", "a_128_0", "a_0_128")]
    assert others == [((), (NECROSIS, STROMA, TUMOR))] * 13


def test_complete_annotations_say_that_nothing_else_is_there(slides, tmp_path):
    options = SPARSE.model_copy(update={"annotations": "complete", "train_masks": False})
    found = labels_of(tile(inputs(slides), tmp_path / "tiles", options), "train")
    assert all(unknown == () for _, unknown in found.values())
    assert found["a_384_384"] == ((), ())


def test_the_data_set_knows_what_is_known(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    data = open_dataset(card, out, "train")
    by_name = {sample.id: sample for sample in data}
    assert by_name["a_0_128"].present.tolist() == [False, True, False]
    assert by_name["a_0_128"].known.tolist() == [False, True, False]
    counted = {split.name: split for split in stats(card, out).splits}
    assert [(each.images, each.unknown) for each in counted["train"].classes] == [(0, 14), (1, 13), (2, 14)]
    assert [each.unknown for each in counted["val"].classes[:3]] == [0, 0, 0]
    background, ignored = counted["val"].classes[3:]
    assert (background.pixels, ignored.pixels) == (0, 0)
    assert check(card, out, complete=True).passed


def test_undrawn_pixels_are_ignored_and_overlaps_show_the_rarer_class(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    (record,) = list_records(card, out, "val")  # of the other tiles nothing could be scored
    truth = truth_of(card, record)
    assert (truth[:, :64] == STROMA).all()
    assert (truth[:, 64:] == NECROSIS).all()
    drawn = {record.id: truth_of(card, record) for record in list_records(card, out, "train-drawn")}
    assert set(drawn) == {"a_0_0", "a_128_0", "a_0_128"}
    assert (drawn["a_0_128"][:, 64:] == 255).all()
    with Image.open(out / "train-masks" / "a" / "0_128.png") as picture:
        assert picture.convert("RGB").getpixel((127, 0)) == (200, 200, 200)


def test_masks_of_training_slides_are_for_supervised_rows_only(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    assert card.splits["train"].supervision == "labels"
    assert card.splits["train-drawn"].supervised
    assert choose_split(card, out, None)[0] == "val"
    with pytest.raises(UsageError, match=r"only for supervised rows .*seg\.split=train-drawn\)\. Score another split"):
        open_split(card, out, "train-drawn").scored_records()


def test_a_supervised_row_learns_from_them_and_every_table_says_so(tiled, tmp_path):
    card, out = load_card(tiled.card), Path(tiled.out)
    assert len(true_masks(card, list_records(card, out, "train-drawn"), "train-drawn").records) == 3
    note = card.splits["train-drawn"].note
    assert note.startswith("Supervised by regions drawn on training slides, which no other row reads.")
    split = open_split(card, out, "val")
    (record,) = split.records
    shutil.copy(record.mask.path, tmp_path / f"{record.id}.png")
    write_json(tmp_path / "predictions.json", {"supervised": note})
    write_json(tmp_path / INDEX, {"images": 1, "failed": {}})
    assert score_labels(tmp_path, split).notes[0] == note
    assert note in json.loads((tmp_path / "scores" / "metrics.json").read_text())[0]["notes"]


def test_no_other_row_chooses_its_epoch_by_them(tiled, tmp_path):
    settings = [f"dataset={tiled.card}", "seg.validate_on=train-drawn"]
    options = load_seg_options("folder/cam", settings)
    card = load_card(tiled.card)
    with pytest.raises(UsageError, match="only for supervised rows, so they may choose no epoch of this one"):
        _validation(options, card, load_protocol("tissue"), tmp_path, None)


def test_a_gate_of_true_labels_does_not_forbid_what_is_unknown(tiled):
    card, out = load_card(tiled.card), Path(tiled.out)
    split = open_split(card, out, "val")
    (record,) = split.records
    gate = open_gate("oracle", split.rules, card, [record])
    truth = truth_of(card, record)
    assert gate.allowed(record, truth).tolist() == [True, True, False]
    assert gate.allowed(replace(record, unknown=(TUMOR,)), truth).tolist() == [True, True, True]


def test_what_was_understood_is_told(tiled):
    square = 0.25e-6  # mm2 of a pixel
    found = {line.name: line.classes for line in tiled.slides}
    assert found["a"]["tumor"] == ClassLine(256 * 128 * square, 2, 0, 14)
    assert found["a"]["stroma"] == ClassLine(64 * 128 * square, 1, 2, 13)
    assert found["a"]["necrosis"] == ClassLine(0.0, 0, 2, 14)
    assert found["b"]["tumor"] == ClassLine(0.0, 0, 1, 15)
    written = json.loads((Path(tiled.out) / "annotations.json").read_text())
    assert written["annotations"] == "sparse"
    assert written["slides"]["a"]["classes"]["stroma"] == {
        "drawn_mm2": 0.002048, "present": 1, "absent": 2, "unknown": 13,
    }  # fmt: skip
    note = next(sentence for sentence in tiled.warnings if "drawn on no training slide" in sentence)
    assert note.startswith("necrosis is drawn on no training slide, only on b, so nothing teaches it. Put one")
    (overlap,) = next(line.notes for line in tiled.slides if line.name == "b")
    assert overlap.startswith("b.geojson: 0.00205 mm2 are drawn both as necrosis and as stroma. Tiles there hold both;")
    assert note in written["warnings"]
    assert note in (Path(tiled.out) / "summary.md").read_text()


def test_the_picture_shows_drawings_and_tiles_of_which_nothing_is_known(tiled):
    with Image.open(Path(tiled.out) / "quality" / "a.jpg") as picture:
        colors = np.asarray(picture.convert("RGB")).astype(int)
    card = load_card(tiled.card)
    inside, outside = colors[10:110, 10:110].mean((0, 1)), colors[300:360, 300:360].mean((0, 1))
    filled = 0.7 * outside + 0.3 * np.array(card.classes[TUMOR].color)
    assert np.abs(inside - filled).max() < 6
    assert np.abs(colors[384, 260:380].mean(0) - 150).max() < 20  # the outline of a grey tile
    red, _, blue = colors[127, 140:240].mean(0)
    assert blue > red + 60  # and that of a blue one


@pytest.mark.parametrize("function", [tile, plan])
def test_what_undrawn_area_means_is_asked_before_anything_is_done(slides, tmp_path, function):
    options = SPARSE.model_copy(update={"annotations": None})
    with pytest.raises(UsageError) as raised:
        function(inputs(slides), tmp_path / "tiles", options)
    assert str(raised.value) == (
        "On 84% of a, a.geojson draws nothing. Say what that means: --annotations sparse (nobody looked there, so its "
        "classes are unknown) or --annotations complete (none of the classes is there)."
    )
    assert not (tmp_path / "tiles").exists()


def test_it_is_not_asked_where_all_is_drawn_or_nothing_is(slides, tmp_path):
    options = SPARSE.model_copy(update={"annotations": None, "masks": False, "train_masks": False})
    (tmp_path / "labels").mkdir()
    for name in ("a", "b"):
        draw(tmp_path / "labels", name, [("tumor", 0, 0, SIDE, 200), ("stroma", 0, 199, SIDE, SIDE)])
    report = tile(inputs(slides, tmp_path / "labels"), tmp_path / "all", options)
    assert all(unknown == () for _, unknown in labels_of(report, "train").values())
    assert tile(TileInputs((str(slides / "a.tiff"),), tissue="none"), tmp_path / "none", options).failed == 0
    sparse = options.model_copy(update={"annotations": "sparse"})
    with pytest.raises(UsageError, match="sparse is about drawn regions, but no slide has any"):
        tile(TileInputs((str(slides / "a.tiff"),)), tmp_path / "x", sparse)


def test_a_region_of_interest_bounds_the_question(slides, tmp_path):
    options = SPARSE.model_copy(update={"annotations": None, "masks": False, "train_masks": False})
    roi = tmp_path / "roi"
    roi.mkdir()
    draw(roi, "a", [("x", 0, 0, 256, 128)])
    one = TileInputs((str(slides / "a.tiff"),), labels=slides / "a.geojson", roi=roi / "a.geojson", tissue="none")
    assert tile(one, tmp_path / "tiles", options).tiles == {"train": 2}


def test_a_folder_keeps_its_meaning(tiled, slides):
    options = SPARSE.model_copy(update={"annotations": "complete"})
    with pytest.raises(UsageError, match="--annotations was sparse, now complete"):
        tile(inputs(slides), Path(tiled.out), options)
    assert tile(inputs(slides), Path(tiled.out), SPARSE).slides == tiled.slides


def test_whole_slides_may_be_labelled_as_unknown(slides, tmp_path):
    options = TileOptions(mpp=0.5, size=256, stride=256, tissue="none")
    (tmp_path / "labels.csv").write_text("slide,tumor,stroma\na.tiff,1,?\nb.tiff,0,1\n")
    report = tile(inputs(slides, tmp_path / "labels.csv"), tmp_path / "tiles", options)
    assert set(labels_of(report, "train").values()) == {((1,), (0,))}
    (tmp_path / "list.csv").write_text(f"slide,labels\n{slides}/a.tiff,tumor?;stroma\n{slides}/b.tiff,tumor\n")
    report = tile(TileInputs((str(tmp_path / "list.csv"),), tissue="none"), tmp_path / "other", options)
    assert report.slides[0].classes["tumor"] == ClassLine(None, 0, 0, 4)


def test_a_class_that_is_drawn_where_no_tile_is_kept_is_named():
    on_glass, seen = ClassLine(3.25e-06, 0, 2, 7), ClassLine(0.1, 1, 1, 7)
    slides = {"a": ("train", {"tumor": on_glass, "stroma": on_glass}), "b": ("train", {"stroma": seen})}
    (said,) = untiled_in_training({**slides, "c": ("val", {"tumor": seen, "necrosis": on_glass})})
    assert said.startswith(
        "tumor is drawn on training slides (3.25 um2), but no training tile holds enough of it. Look"
    )
