"""Tiling of phantom slides, from slides to a data set."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import BadFile, DatasetProblem, UsageError
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.contact_sheet import draw_sheet
from qaclims_path.pipeline.datasets.stats import stats
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, plan, tile
from qaclims_path.slides.reader import open_slide

OPTIONS = TileOptions(annotations="complete", mpp=0.5, size=128, stride=128)
NAMES = ("lymphocyte", "necrosis", "stroma", "tumor")
CODES = {"tumor": 0, "stroma": 1, "lymphocyte": 2, "necrosis": 3}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    for i in range(3):
        write_slide(folder, f"s{i}", PhantomSpec(i, 1024, 768 + 64 * i, mpp=0.5, patient=f"P{i}"))
    return folder


def inputs(slides, **changes):
    return replace(TileInputs((str(slides),), labels=slides), **changes)


@pytest.fixture(scope="module")
def tiled(slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("tiled") / "tiles"
    return tile(inputs(slides), out, OPTIONS)


def test_the_folder_is_a_data_set(tiled, tmp_path):
    card = load_card(tiled.card)
    assert card.names == NAMES
    assert set(card.splits) == {"train", "val", "test"}
    assert check(card, tmp(tiled)).passed
    report = stats(card, tmp(tiled))
    assert sum(split.images for split in report.splits) == sum(tiled.tiles.values()) > 60
    assert [split.patients for split in report.splits] == [1, 1, 1]
    sheet = draw_sheet(card, tmp(tiled), tmp_path / "sheet.png")
    assert sheet.pictures["stroma"] == 6


def test_labels_agree_with_the_truth(tiled, slides):
    """Regions are simplified outlines, so shares may differ a little; clear cases must not."""
    rows = list(read_csv(tmp(tiled) / "manifest.csv"))
    wrong, errors = 0, []
    for name in ("s0", "s1", "s2"):
        truth = tifffile.imread(slides / f"{name}_truth.tiff", key=0)
        for row in (row for row in rows if row["slide"] == name):
            x, y, side = (int(row[key]) for key in ("x_px_level0", "y_px_level0", "width_px_level0"))
            codes = truth[y : y + side, x : x + side]
            for called, code in CODES.items():
                share = (codes == code).mean()
                errors.append(abs(share - float(row[f"share_{called}"])))
                wrong += int(row[f"present_{called}"]) != (share >= 0.05) and abs(share - 0.05) > 0.04
    assert np.mean(errors) < 0.01
    assert wrong <= 0.01 * len(errors)


def test_samples_are_the_pixels_of_the_slide(tiled, slides):
    dataset = open_dataset(tiled.card, tiled.out, "train")
    record, sample = dataset.records[5], dataset[5]
    with open_slide(slides / f"{record.image.slide.split('/')[-1]}") as slide:
        wanted = slide.read(record.image.x, record.image.y, 128, 128, 0.5)
    assert np.array_equal(np.round(sample.image.numpy() * 255).astype(np.uint8), wanted.transpose(2, 0, 1))
    assert sample.mask is None
    assert sample.id == f"{record.image.slide.split('/')[-1][:-5]}_{record.image.x}_{record.image.y}"


def test_pictures_geojson_and_summary(tiled, slides):
    out = tmp(tiled)
    summary = json.loads((out / "summary.json").read_text())
    for line in summary["slides"]:
        with Image.open(out / "quality" / f"{line['name']}.jpg") as picture:
            colors = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
        assert (np.abs(colors - (30, 60, 220)).sum(axis=1) < 60).any()
        features = json.loads((out / "geojson" / f"{line['name']}.geojson").read_text())["features"]
        assert len(features) == line["tiles"]
        assert all(shapely.geometry.shape(feature["geometry"]).is_valid for feature in features)
        assert {"name", "color"} <= features[0]["properties"]["classification"].keys()
    assert [path.rsplit("/", 1)[-1] for path in summary["skipped"]] == [f"s{i}_truth.tiff" for i in range(3)]
    assert "| s0 | s0 | " in (out / "summary.md").read_text()


@pytest.mark.parametrize(("kind", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_written_tiles_are_those_read_on_the_fly(slides, tmp_path, kind, suffix):
    options = OPTIONS.model_copy(update={"stain": "macenko", "mpp": 1.0})
    sets = []
    for write in ("none", kind):
        out = tmp_path / write
        report = tile(inputs(slides), out, options.model_copy(update={"write": write}))
        sets.append(open_dataset(report.card, out, "train"))
    fly, written = sets
    assert str(written.records[0].image).endswith(suffix)
    assert [record.id for record in fly.records] == [record.id for record in written.records]
    for one, other in zip(fly, written, strict=True):
        difference = (one.image - other.image).abs().mean()
        assert difference == 0 if kind == "png" else difference < 0.03
    if kind == "jpeg":
        from imagecodecs import jpeg8_decode

        assert jpeg8_decode(written.records[0].image.path.read_bytes()).shape == (128, 128, 3)
        assert b"\x11\x00\x02\x11\x01\x03\x11\x01" in written.records[0].image.path.read_bytes()[:700]  # 4:4:4


def test_a_bad_slide_does_not_stop_the_others(slides, tmp_path):
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    (folder / "text.svs").write_text("not a slide")
    (folder / "empty.svs").write_bytes(b"")
    content = (folder / "s1.tiff").read_bytes()
    (folder / "s1.tiff").write_bytes(content[: len(content) // 2])
    (folder / "unlabelled.tiff").write_bytes(content)
    out = tmp_path / "out"
    report = tile(inputs(folder), out, OPTIONS)
    assert (report.tiled, report.failed) == (6, 4)
    errors = {line.name: line.error for line in report.slides if line.status == "failed"}
    assert errors.keys() == {"text", "empty", "s1", "unlabelled"}
    assert "0 bytes" in errors["empty"]
    assert "unlabelled.geojson" in errors["unlabelled"]
    assert not any("Unexpected" in error for error in errors.values())
    assert {row["slide"] for row in read_csv(out / "manifest.csv")} == {"s0", "s2"}

    (folder / "s1.tiff").write_bytes(content)  # mended: the next run does this one, and tries the others again
    again = tile(inputs(folder), out, OPTIONS)
    assert again.failed == 3
    assert json.loads((out / "state" / "s1.json").read_text())["attempts"] == 2
    assert json.loads((out / "state" / "s0.json").read_text())["attempts"] == 1
    assert {row["slide"] for row in read_csv(out / "manifest.csv")} == {"s0", "s1", "s2"}


def test_changed_options_are_refused_by_name(tiled, slides, tmp_path):
    with pytest.raises(UsageError, match=r"--size was 128, now 64; --seed was 0, now 1\. Choose another --out"):
        tile(inputs(slides), tmp(tiled), OPTIONS.model_copy(update={"size": 64, "seed": 1}))
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.txt.*which `qaclims slides tile` did not write"):
        tile(inputs(slides), tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_changed_annotation_redoes_its_slide_only(slides, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in slides.glob("*.geojson"):
        shutil.copy(path, labels)
    report = tile(inputs(slides, labels=labels), tmp_path / "out", OPTIONS)
    tree = json.loads((labels / "s2.geojson").read_text())
    tree["features"] = [f for f in tree["features"] if f["properties"]["classification"]["name"] != "tumor"]
    (labels / "s2.geojson").write_text(json.dumps(tree))
    again = tile(inputs(slides, labels=labels), tmp_path / "out", OPTIONS)
    attempts = [json.loads((tmp_path / "out" / "state" / f"s{i}.json").read_text())["attempts"] for i in range(3)]
    assert attempts == [1, 1, 2]
    assert report.slides[2].classes["tumor"].present > 0
    assert again.slides[2].classes["tumor"].present == 0


def test_slides_of_one_name_and_a_moved_folder(slides, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(slides / "s0.tiff", tmp_path / "in" / folder / "a.tiff")
    table = tmp_path / "slides.csv"
    table.write_text("slide,patient,labels\nin/one/a.tiff,P1,tumor;stroma\nin/two/a.tiff,P1,stroma\n")
    out = tmp_path / "out"
    report = tile(TileInputs((str(table),)), out, OPTIONS)
    assert [line.name for line in report.slides] == ["one_a.tiff", "two_a.tiff"]
    assert len({line.split for line in report.slides}) == 1
    card = load_card(report.card)
    assert card.names == ("stroma", "tumor")
    dataset = open_dataset(card, out, report.slides[0].split)
    assert {record.present for record in dataset.records} == {(0, 1), (0,)}

    (tmp_path / "in").rename(tmp_path / "moved")
    with pytest.raises(DatasetProblem, match=r"2 of 2 slides are not where they were.*slides\.csv.*--out"):
        open_dataset(card, out, report.slides[0].split)
    table.write_text(table.read_text().replace("in/", "moved/"))
    before = (out / "manifest.csv").read_bytes()
    tile(TileInputs((str(table),)), out, OPTIONS)
    assert len(open_dataset(card, out, report.slides[0].split)) == len(dataset)
    assert (out / "manifest.csv").read_bytes() == before
    assert json.loads((out / "state" / "one_a.tiff.json").read_text())["attempts"] == 1


def test_labels_from_a_table_of_slides(slides, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide,tumor,stroma\ns0.tiff,1,0\ns1,1,1\ns2.tiff,0,1\n")
    report = tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)
    assert [line.classes["tumor"].present > 0 for line in report.slides] == [True, True, False]
    assert next(read_csv(tmp_path / "out" / "manifest.csv"))["share_tumor"] == ""
    assert "2 label vectors for" not in " ".join(report.warnings)  # one training slide: one vector
    assert "one label vector for all" in " ".join(report.warnings)


def test_rows_of_slides_that_are_not_there_are_said_once_and_not_used(slides, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide,labels\ns0,tumor\ns1,stroma\ns02,necrosis\ns9,tumor\n")
    report = tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)
    assert "2 rows of labels.csv name slides that are not here (s02, s9)" in report.warnings[0]
    failed = report.slides[2]
    assert failed.status == "failed"
    assert f"{table} has no row for s2.tiff" in failed.error
    assert "Is it the row 's02'?" in failed.error
    table.write_text("slide,labels\nother,tumor\n")
    with pytest.raises(BadFile, match="has no row for any slide"):
        tile(inputs(slides, labels=table), tmp_path / "other", OPTIONS)


def test_warnings_are_in_the_report_and_in_its_files(slides, tmp_path):
    (tmp_path / "slides").mkdir()
    for name in ("a", "b"):
        shutil.copyfile(slides / "s0.tiff", tmp_path / "slides" / f"{name}.tiff")
    table = put_list(
        tmp_path, "slide,patient,mpp,split,stain\nslides/a.tiff,P1,0.5,train,H&E\nslides/b.tiff,P2,1,train,PAS\n"
    )
    (tmp_path / "labels.csv").write_text("slide,labels\na,tumor\nb,stroma\n")
    given = TileInputs((str(table),), labels=tmp_path / "labels.csv")
    report = tile(given, tmp_path / "out", OPTIONS.model_copy(update={"mpp": 1.0}))
    said = " ".join(report.warnings)
    assert "The slides a, b are the same file" in said
    assert "Slides of 2 pixel sizes are mixed (0.5 um: a; 1 um: b)" in said
    assert "Slides of 2 stains are mixed (h&e: a; pas: b)" in said
    assert f"2 label vectors for {sum(report.tiles.values())} training tiles" in said
    assert "so no result can be scored" in said
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["warnings"] == list(report.warnings)
    assert "Read before you train" in (tmp_path / "out" / "summary.md").read_text()


def test_a_cohort_of_one_slide_says_what_is_missing(slides, tmp_path):
    report = tile(inputs(slides / "s0.tiff", labels=slides / "s0.geojson"), tmp_path / "out", OPTIONS)
    assert list(report.tiles) == ["train"]
    said = " ".join(report.warnings)
    assert "of one patient ('s0')" in said
    assert "so no result can be scored" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slide\tlabels\ns0\ttumor\n", r"separated by tabs, .*where commas are expected"),
        ("slide,tumor;stroma\ns0,1;0\n", r"separated by semicolons, at least at 'tumor;stroma'"),
        ("slide;labels\ns0;tumor,stroma\n", r"slide 's0': the classes 'tumor,stroma' seem to be separated by ','"),
        ("slide,labels\ns0,tumor/stroma\n", r"seem to be separated by '/'\. Write ';' between them, as in tumor;str"),
    ],
)
def test_a_wrong_separator_in_a_table_of_labels_is_named(slides, tmp_path, text, said):
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(BadFile, match=said):
        tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)


def test_a_wrong_separator_in_a_slide_list_is_named(slides, tmp_path):
    table = put_list(tmp_path, f'slide,labels\n{slides}/s0.tiff,"tumor,stroma"\n')
    with pytest.raises(BadFile, match=r"^The slide list, slide 's0': the classes 'tumor,stroma' seem to be separated"):
        tile(TileInputs((str(table),)), tmp_path / "out", OPTIONS)


def test_a_slide_without_a_row_in_the_table_of_labels_fails_alone(slides, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide,labels\ns0.tiff,tumor\ns2.tiff,stroma\n")
    report = tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)
    assert [line.status for line in report.slides] == ["done", "failed", "done"]
    assert report.slides[1].error == f"{table} has no row for s1.tiff. Add it, or leave the slide out."
    assert load_card(report.card).names == ("stroma", "tumor")
    table.write_text("slide,labels\ns0.tiff,tumor\ns1.tiff,tumor\ns2.tiff,stroma\n")
    again = tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)
    assert [line.status for line in again.slides] == ["done", "done", "done"]


def test_a_table_of_labels_without_rows_is_refused(slides, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide,tumor\n")
    with pytest.raises(BadFile, match=r"labels\.csv has no row for any slide\. Add one per slide, such as s0\.tiff\."):
        tile(inputs(slides, labels=table), tmp_path / "out", OPTIONS)


def test_without_labels_there_is_no_card(slides, tmp_path):
    report = tile(inputs(slides, labels=None), tmp_path / "out", OPTIONS)
    assert report.card is None
    assert sum(report.tiles.values()) > 0
    assert not (tmp_path / "out" / "card.yaml").exists()


def test_pixel_size_comes_from_the_slide_else_from_the_user(slides, tmp_path):
    pixels = tifffile.imread(slides / "s0.tiff", key=0)
    plain = tmp_path / "plain.tiff"
    tifffile.imwrite(plain, pixels, tile=(256, 256), photometric="rgb")
    both = (str(plain), str(slides / "s0.tiff"))
    report = tile(TileInputs(both), tmp_path / "out", OPTIONS)
    assert report.failed == 1
    assert "--slide-mpp" in report.slides[0].error
    assert "'mpp'" in report.slides[0].error
    report = tile(TileInputs(both, slide_mpp=0.25), tmp_path / "out", OPTIONS)
    assert report.failed == 0
    tiles = {row["slide"]: row["width_px_level0"] for row in read_csv(tmp_path / "out" / "manifest.csv")}
    assert tiles == {"plain": "256", "s0": "128"}
    assert [row["mpp"] for row in read_csv(tmp_path / "out" / "slides.csv")] == ["0.25", ""]
    with pytest.raises(BadFile, match="mpp is 'x'"):
        tile(TileInputs((str(put_list(tmp_path, f"slide,mpp\n{plain},x\n")),)), tmp_path / "other", OPTIONS)
    table = put_list(tmp_path, f"slide,mpp\n{plain},1\n")
    report = tile(TileInputs((str(table),), slide_mpp=0.25), tmp_path / "third", OPTIONS)
    assert "would invent detail" in report.slides[0].error


def test_regions_of_interest_and_given_tissue(slides, tmp_path):
    square = {"type": "Polygon", "coordinates": [[[0, 0], [512, 0], [512, 512], [0, 512], [0, 0]]]}
    roi = tmp_path / "roi.geojson"
    roi.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(square)]}))
    one = TileInputs((str(slides / "s0.tiff"),), roi=roi, tissue="none")
    assert sum(tile(one, tmp_path / "a", OPTIONS.model_copy(update={"tissue": "none"})).tiles.values()) == 16
    given = TileInputs((str(slides / "s0.tiff"),), tissue=str(roi))
    assert sum(tile(given, tmp_path / "b", OPTIONS.model_copy(update={"tissue": "file"})).tiles.values()) == 16
    with pytest.raises(UsageError, match=r"one file, but there are 3 slides"):
        tile(inputs(slides, roi=roi), tmp_path / "c", OPTIONS)


def test_a_blank_slide_has_no_tiles_and_says_so(tmp_path, slides):
    folder = tmp_path / "slides"
    folder.mkdir()
    shutil.copy(slides / "s0.tiff", folder)
    blank = np.full((600, 600, 3), 245, np.uint8)
    tifffile.imwrite(
        folder / "blank.tiff", blank, tile=(256, 256), photometric="rgb", resolution=(20000, 20000), resolutionunit=3
    )
    options = OPTIONS.model_copy(update={"stain": "reinhard", "write": "png"})
    report = tile(TileInputs((str(folder),)), tmp_path / "out", options)
    assert (report.failed, report.slides[0].tiles) == (0, 0)
    assert "No tissue found on blank.tiff" in report.slides[0].notes[0]


def test_a_dry_run_plans_and_writes_nothing(tiled, slides, tmp_path):
    options = OPTIONS.model_copy(update={"write": "jpeg"})
    (tmp_path / "bad.svs").write_text("no")
    plans = plan(TileInputs((str(slides), str(tmp_path / "bad.svs"))), tmp_path / "o", options)
    assert not (tmp_path / "o").exists()
    assert "no slide or picture" in plans[0].error
    assert [p.tiles for p in plans[1:]] == [line.tiles for line in tiled.slides]
    assert all(p.lattice >= p.tiles and (p.level, p.resampled) == (0, 1.0) for p in plans[1:])
    tile(inputs(slides, labels=None), tmp_path / "o", options)
    written = sum(file.stat().st_size for file in (tmp_path / "o" / "tiles").rglob("*.jpg"))
    assert 0.7 * written < sum(p.bytes for p in plans) < 1.3 * written
    assert plan(inputs(slides, labels=None), tmp_path / "o", options) == []


def test_a_misspelt_file_does_not_mark_the_folder(slides, tmp_path):
    out, given = tmp_path / "out", TileInputs((str(slides),))
    for wrong, sentence in (
        (replace(given, tissue="otzu"), "There is no tissue mask otzu"),
        (replace(given, roi=tmp_path / "nofile"), "--roi .*nofile does not exist"),
    ):
        with pytest.raises(BadFile, match=sentence):
            tile(wrong, out, OPTIONS)
        assert not (out / "tiling.json").exists()
    assert tile(given, out, OPTIONS.model_copy(update={"mpp": 1.0})).complete


def test_damaged_annotations_are_a_sentence(slides, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in slides.glob("*.geojson"):
        (labels / path.name).write_text(path.read_text()[:300])
    with pytest.raises(BadFile, match=r"geojson.* is not valid JSON.*Export it again"):
        tile(TileInputs((str(slides),), labels=labels), tmp_path / "out", OPTIONS)


def test_impossible_requests_are_refused(slides, tmp_path):
    table = put_list(tmp_path, f"slide,labels\n{slides}/s0.tiff,tumor\n")
    with pytest.raises(UsageError, match="given twice"):
        tile(TileInputs((str(table),), labels=slides), tmp_path / "o", OPTIONS)
    with pytest.raises(BadFile, match="holds no GeoJSON named like a slide"):
        tile(inputs(slides, labels=tmp_path), tmp_path / "o", OPTIONS)


@pytest.mark.parametrize(
    ("names", "mpp", "least"),
    [
        (("CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"), 0.5, 220),
        (("CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"), 1.0, 50),
        (("multi_frame_jpeg2000_camelyon_challenge_image.dcm",), 29.0, 2),
        (("multi_frame_jpeg_camelyon_challenge_image.dcm",), 58.0, 1),
    ],
)
def test_real_slides(real_data, tmp_path, names, mpp, least):
    """The DICOM files are overviews, with 29 um per pixel."""
    given = TileInputs(tuple(str(real_data / "slides" / name) for name in names), slide_mpp=0.5)
    side = 224 if mpp < 2 else 64
    report = tile(given, tmp_path / "out", TileOptions(annotations="complete", mpp=mpp, size=side, stride=side))
    assert report.failed == 0
    assert sum(report.tiles.values()) >= least


def tmp(report):
    from pathlib import Path

    return Path(report.out)


def put_list(folder, text):
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def feature(geometry):
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": "x"}}}
