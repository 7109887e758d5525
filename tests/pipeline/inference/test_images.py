"""Tiles and other images in; label PNGs in the codes of the data set out."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qaclims_path.compute.components import drop_specks
from qaclims_path.compute.refiners.crf import refine_probabilities
from qaclims_path.compute.refiners.crf_settings import TISSUE
from qaclims_path.compute.tissue import LEAST_GLASS, glass_of
from qaclims_path.compute.windows import tissue_share
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.files.images import read_mask
from qaclims_path.files.tables import read_csv
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.inference.arrays import load_segmenter
from qaclims_path.pipeline.inference.inputs import SegmentInputs, is_picture
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.segment import segment

OPTIONS = SegmentOptions(size=128, precision="fp32")
CODES = np.array([0, 7, 3], np.uint8)  # of the model's classes


@pytest.fixture(scope="module")
def painted():
    return [paint_slide(seed, (96 + 32 * (seed % 2), 80))[0] for seed in range(4)]


@pytest.fixture(scope="module")
def folder(painted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "tiles"
    folder.mkdir()
    for number, pixels in enumerate(painted):
        Image.fromarray(pixels).save(folder / f"t{number}.{'tif' if number == 3 else 'png'}")
    return folder


@pytest.fixture(scope="module")
def done(model, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "labels"
    return out, segment(model, SegmentInputs((str(folder),)), out, OPTIONS)


def test_labels_are_those_of_the_model(done, painted, model):
    out, report = done
    predict = Predictor(for_inference(Segmenter.from_pretrained(model), torch.device("cpu")))
    assert (report.worked, report.failed) == (4, 0)
    for number, pixels in enumerate(painted):
        scores = predict(pixels[None])[0]
        wanted = CODES[scores.argmax(0).numpy()]
        wanted[glass_of(pixels)] = 255
        found = read_mask(out / "labels" / f"t{number}.png")
        assert (found == wanted).mean() > 0.999  # the order of sums differs
        assert report.rows[number].confidence == pytest.approx(scores.amax(0).numpy()[found != 255].mean(), abs=0.01)
        sure = read_mask(out / "confidence" / f"t{number}.png").astype(int)
        assert np.abs(sure - (scores.amax(0).numpy() * 255).round()).max() <= 1
    with Image.open(out / "labels" / "t0.png") as picture:
        colors = np.reshape(picture.getpalette(), (-1, 3))
    assert colors[[0, 7, 3]].tolist() == [[255, 0, 0], [0, 200, 0], [0, 0, 255]]


def test_the_table_states_areas_and_warns_about_pixel_sizes(done):
    out, report = done
    rows = {row["name"]: row for row in read_csv(out / "cohort.csv")}
    assert rows.keys() == {"t0", "t1", "t2", "t3"}
    for name, row in rows.items():
        labels = read_mask(out / "labels" / f"{name}.png")
        known = (labels != 255).sum()
        assert float(row["stroma_percent"]) == pytest.approx(100 * (labels == 7).sum() / known, rel=1e-4)
        assert (row["kind"], row["labelled_mm2"], row["mpp_um"]) == ("image", "", "")
    assert "4 of 4 images do not state their pixel size" in report.notes[0]


def test_the_page_draws_images_under_their_labels(done):
    html = (done[0] / "cohort.html").read_text(encoding="utf-8")
    assert html.count("<img src=") == 8
    assert 'href="labels/t0.png"' in html
    assert "4 of 4 images do not state their pixel size" in html


def test_images_at_another_pixel_size_are_scaled_for_the_model(model, folder, painted, tmp_path):
    given = SegmentInputs((str(folder / "t1.png"),), slide_mpp=1.0)
    report = segment(model, given, tmp_path / "out", OPTIONS)
    predict = Predictor(for_inference(Segmenter.from_pretrained(model), torch.device("cpu")), scales=(2.0,), window=128)
    wanted = CODES[predict(painted[1][None])[0].argmax(0).numpy()]
    found = read_mask(tmp_path / "out" / "labels" / "t1.png")
    seen = found != 255
    assert (found == wanted)[seen].mean() > 0.999
    assert report.rows[0].mm2("tumor", "stroma", "necrosis") == pytest.approx(seen.sum() / 1e6)
    assert report.notes == ()


def test_a_dense_crf_refines_images_and_arrays_alike(model, folder, painted, tmp_path):
    options = OPTIONS.model_copy(update={"crf": "tissue"})
    segment(model, SegmentInputs((str(folder),)), tmp_path / "out", options)
    predict = Predictor(for_inference(Segmenter.from_pretrained(model), torch.device("cpu")))
    load = load_segmenter(model, options=options)
    for number, pixels in enumerate(painted):
        before = predict(pixels[None])[0].numpy()
        wanted = refine_probabilities(pixels, before, TISSUE).argmax(0)
        labels, _ = load(pixels)
        found = read_mask(tmp_path / "out" / "labels" / f"t{number}.png")
        seen = found != 255
        assert (found == CODES[wanted])[seen].mean() > 0.999
        assert (labels == wanted)[seen].mean() > 0.999
        assert (before.argmax(0) != wanted).any()


def test_an_image_that_a_crf_cannot_refine_fails_alone(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("qaclims_path.compute.refiners.crf.MOST_PIXELS", 100 * 80)  # two of four images have 128 rows
    report = segment(
        model, SegmentInputs((str(folder),)), tmp_path / "out", OPTIONS.model_copy(update={"crf": "tissue"})
    )
    assert (report.worked, report.failed) == (4, 2)
    assert all("more than the 0.0 million of a dense CRF" in row.error for row in report.rows if row.error)


def test_lack_of_memory_says_what_to_lower(model, folder, tmp_path, monkeypatch, out_of_memory):
    monkeypatch.setattr(Predictor, "__call__", out_of_memory)
    with pytest.raises(OutOfMemory, match=r"not enough memory for these images\. Lower --batch or --size"):
        segment(model, SegmentInputs((str(folder),)), tmp_path / "out", OPTIONS)


def test_images_that_are_far_too_coarse_are_refused(model, folder, tmp_path):
    report = segment(model, SegmentInputs((str(folder),), slide_mpp=4.0), tmp_path / "out", OPTIONS)
    assert report.failed == 4
    assert all("too coarse" in row.error for row in report.rows)


def test_images_larger_than_a_tile_are_predicted_in_squares(model, tmp_path):
    pixels = paint_slide(9, (300, 260))[0]
    Image.fromarray(pixels).save(tmp_path / "large.jpg", quality=95)
    report = segment(model, SegmentInputs((str(tmp_path / "large.jpg"),)), tmp_path / "out", OPTIONS)
    assert read_mask(tmp_path / "out" / "labels" / "large.png").shape == (260, 300)
    assert report.rows[0].percent("tumor") is not None


def test_only_what_is_new_or_changed_is_done_again(model, folder, tmp_path):
    images, out = tmp_path / "tiles", tmp_path / "out"
    shutil.copytree(folder, images)
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture" * 9)
    given = SegmentInputs((str(images),))
    report = segment(model, given, out, OPTIONS)
    assert (report.worked, report.failed) == (5, 1)
    failed = {row.name: row.error for row in report.rows if row.status == "failed"}
    assert "broken.png" in failed["broken"]
    times = {path.name: path.stat().st_mtime_ns for path in (out / "labels").iterdir()}
    shutil.copy(images / "t1.png", images / "t0.png")
    shutil.copy(images / "t1.png", images / "broken.png")
    report = segment(model, given, out, OPTIONS)
    assert (report.worked, report.failed, report.complete) == (5, 0, True)
    now = {path.name: path.stat().st_mtime_ns for path in (out / "labels").iterdir()}
    assert {name for name in now if now[name] != times.get(name)} == {"t0.png", "broken.png"}
    first, second = (read_mask(out / "labels" / f"{name}.png") for name in ("t0", "t1"))
    assert np.array_equal(first, second)


def test_a_pixel_size_that_is_given_later_is_used(model, folder, tmp_path):
    given = SegmentInputs((str(folder / "t1.png"),))
    assert segment(model, given, tmp_path / "out", OPTIONS).rows[0].mpp is None
    label, times = tmp_path / "out" / "labels" / "t1.png", set()
    for mpp in (1.0, 0.5, 0.5):
        report = segment(model, replace(given, slide_mpp=mpp), tmp_path / "out", OPTIONS)
        times.add(label.stat().st_mtime_ns)
        fresh = segment(model, replace(given, slide_mpp=mpp), tmp_path / f"fresh-{mpp}", OPTIONS)
        assert (report.rows, report.notes) == (fresh.rows, ())
        assert label.read_bytes() == (tmp_path / f"fresh-{mpp}" / "labels" / "t1.png").read_bytes()
    assert len(times) == 2, "and once more is not needed"


def test_slides_and_images_together(model, folder, slides, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text(f"slide,patient,mpp\n{slides / 's0.tiff'},A,\n{folder / 't0.png'},B,0.5\n")
    report = segment(model, SegmentInputs((str(table),)), tmp_path / "out", OPTIONS)
    rows = {row.name: row for row in report.rows}
    assert [(row.kind, row.patient, row.mpp) for row in rows.values()] == [("slide", "A", 0.5), ("image", "B", 0.5)]
    assert json.loads((tmp_path / "out" / "segmentation.json").read_text())["options"]["kind"] == "auto"


def test_images_are_recognised_by_their_files(slides, tmp_path, tissue_tiff):
    assert not is_picture(str(slides / "s0.tiff"))
    assert is_picture(str(tissue_tiff))
    assert not is_picture(str(tmp_path / "none.png"))
    tifffile.imwrite(tmp_path / "huge.tif", np.zeros((6000, 6000), np.uint8), compression="deflate")
    assert not is_picture(str(tmp_path / "huge.tif"))


@pytest.fixture
def tissue_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "tile.tif", paint_slide(1, (64, 64))[0], photometric="rgb")
    return tmp_path / "tile.tif"


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 8, 18]))
@settings(max_examples=25)
def test_glass_is_where_the_share_of_tissue_is_zero(seed, spread):
    """The fast function and that of the maps' training agree on colours around the limits."""
    chance = np.random.default_rng(seed)
    grey = np.repeat(chance.integers(150, 256, (5, 5)), 8, axis=0).repeat(8, axis=1)[..., None]
    pixels = np.clip(grey + chance.integers(-spread, spread + 1, (40, 40, 3)), 0, 255).astype(np.uint8)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    slow = drop_specks((tissue_share(picture, pixels.shape[:2])[0] < 0.5).numpy(), LEAST_GLASS)
    assert np.array_equal(glass_of(pixels), slow)
