"""Slides in; class maps, outlines, overlays and the table of the cohort out."""

import base64
import io
import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
import shapely
import tifffile
import torch
from PIL import Image

from qaclims_path.compute.tissue import glass_of
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.shards import Shard
from qaclims_path.files.tables import read_csv
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.inference.cohort import write_cohort
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.inference.slides import process
from qaclims_path.report.pages import prose
from qaclims_path.slides.problems import OutOfSpace
from qaclims_path.slides.reader import open_slide

OPTIONS = SegmentOptions(size=128, precision="fp32")
GLASS, OUTSIDE = 3, 255
NAMES = ["tumor", "stroma", "necrosis"]


def inputs(*paths, **known):
    return SegmentInputs(tuple(str(path) for path in paths), **known)


def contents(out):
    """Every file except the states of slides."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith("state/")}


@pytest.fixture(scope="module")
def done(model, slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "maps"
    return out, segment(model, inputs(slides), out, OPTIONS)


def test_every_slide_has_its_files(done, slides):
    out, report = done
    assert (report.worked, report.failed, report.complete) == (2, 0, True)
    wanted = {f"{s}{end}" for s in ("s0", "s1") for end in
              ("_classes.ome.tiff", "_confidence.ome.tiff", ".geojson", "_overlay.jpg", "_confidence.jpg")}  # fmt: skip
    assert {path.name for path in (out / "slides").iterdir()} == wanted
    assert {path.name for path in out.iterdir()} == {
        "slides",
        "state",
        "cohort.csv",
        "cohort.html",
        "segmentation.json",
    }
    assert sorted(path.rsplit("/", 1)[-1] for path in report.skipped) == ["s0.geojson", "s0_truth.tiff", "s1.geojson",
                                                                          "s1_truth.tiff"]  # fmt: skip
    with Image.open(out / "slides" / "s1_overlay.jpg") as picture:
        assert picture.width == 768
        assert picture.height > 704  # captions and legend


def test_the_page_shows_every_slide_and_leads_to_its_files(done):
    out, report = done
    html = (out / "cohort.html").read_text(encoding="utf-8")
    assert report.page == str(out / "cohort.html")
    assert "2 of 2 done" in html
    links = {unquote(link) for link in re.findall(r'href="([^"]+)"', html)} - {"data:,"}
    assert {"cohort.csv", "slides/s0_overlay.jpg", "slides/s1.geojson", "slides/s1_confidence.jpg"} <= links
    assert all((out / link).is_file() for link in links)
    opened = re.findall(r'<a href="(slides/s0_[^"]+)">\s*<img', html)
    assert opened == ["slides/s0_overlay.jpg", "slides/s0_confidence.jpg"]
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)" width="(\d+)" height="(\d+)"', html)
    assert len(pictures) == 4
    for content, width, height in pictures:
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert picture.size == (int(width), int(height))
    assert int(pictures[2][1]) / int(pictures[2][2]) == pytest.approx(768 / 704, rel=0.01)  # without its legend
    for row in report.rows:
        assert 0.3 < row.confidence < 1
        assert f"mean confidence {100 * row.confidence:.0f} %" in html


def test_the_page_names_failures_and_what_waits(model, slides, tmp_path):
    shutil.copytree(slides, tmp_path / "slides")
    (tmp_path / "slides" / "bad.svs").write_text("<b>no slide</b>")
    out, given = tmp_path / "maps", inputs(tmp_path / "slides")
    first = segment(model, given, out, OPTIONS, ComputeOptions(shard=Shard(1, 2)))
    html = (out / "cohort.html").read_text(encoding="utf-8")
    failed = [row for row in first.rows if row.status == "failed"]
    assert [row.name for row in failed] == ["bad"]
    assert "1 of 3 done, 1 failed, 1 waiting" in html
    assert html.count('<figure class="slide"') == 1
    assert f'<li><span class="strong">bad</span> <span class="wrong">{prose(failed[0].error)}</span></li>' in html
    segment(model, given, out, OPTIONS)
    html = (out / "cohort.html").read_text(encoding="utf-8")
    assert "2 of 3 done, 1 failed" in html
    assert html.count('<figure class="slide"') == 2


def test_the_map_has_names_and_colours_and_leaves_out_glass(done, slides):
    out, _ = done
    with tifffile.TiffFile(out / "slides" / "s1_classes.ome.tiff") as tiff:
        codes = tiff.asarray()
        colors = tiff.pages.first.colormap // 257
        assert all(name in tiff.ome_metadata for name in [*NAMES, "glass"])
    assert codes.shape == (704, 768)
    assert colors[:, 0].tolist() == [255, 0, 0]
    assert colors[:, GLASS].tolist() == [255, 255, 255]
    assert set(np.unique(codes)) <= {0, 1, 2, GLASS, OUTSIDE}
    with open_slide(slides / "s1.tiff") as slide:
        pixels = slide.read(0, 0, 768, 704, 0.5)
    seen = codes != OUTSIDE
    assert (codes[seen] == GLASS).mean() == pytest.approx(glass_of(pixels)[seen].mean(), abs=0.01)  # specks at edges


def test_outlines_have_the_names_and_colours_of_the_card(done):
    features = json.loads((done[0] / "slides" / "s0.geojson").read_text())["features"]
    found = {f["properties"]["classification"]["name"]: f["properties"]["classification"]["color"] for f in features}
    assert set(found) <= set(NAMES)
    assert len(found) >= 2
    assert found.get("stroma", [0, 200, 0]) == [0, 200, 0]
    assert all(shapely.geometry.shape(feature["geometry"]).is_valid for feature in features)


def test_the_table_counts_every_pixel(done):
    out, report = done
    rows = list(read_csv(out / "cohort.csv"))
    assert [row["name"] for row in rows] == ["s0", "s1"]
    for row, line in zip(rows, report.rows, strict=True):
        codes = tifffile.imread(out / "slides" / f"{row['name']}_classes.ome.tiff")
        counts = np.bincount(codes.ravel(), minlength=256)[:3]
        for name, count in zip(NAMES, counts, strict=True):
            assert float(row[f"{name}_mm2"]) == pytest.approx(count * 0.25e-6, rel=1e-5)
            assert float(row[f"{name}_percent"]) == pytest.approx(100 * count / counts.sum(), rel=1e-4)
        assert float(row["labelled_mm2"]) == pytest.approx(line.mm2(*NAMES), rel=1e-5)
        assert (row["status"], row["mpp_um"], row["map_mpp_um"]) == ("done", "0.5", "0.5")


def test_a_slide_of_one_tile_has_the_labels_of_the_model(model, slides, tmp_path):
    """Compared with the model without the pipeline."""
    options = SegmentOptions(size=768, overlap=0, tissue="none", precision="fp32")
    segment(model, inputs(slides / "s1.tiff", tissue="none"), tmp_path / "out", options)
    predict = Predictor(for_inference(Segmenter.from_pretrained(model), torch.device("cpu")))
    with open_slide(slides / "s1.tiff") as slide:
        pixels = slide.read(0, 0, 768, 768, 0.5)
    wanted = predict(pixels[None])[0].argmax(0).numpy().astype(np.uint8)
    wanted[glass_of(pixels)] = GLASS
    codes = tifffile.imread(tmp_path / "out" / "slides" / "s1_classes.ome.tiff")
    assert (codes == wanted[:704]).mean() > 0.9999  # the order of sums differs


@pytest.mark.parametrize(
    ("mpp", "size", "note"), [(1.0, (384, 352), ""), (0.51, (753, 690), ""), (0.25, (768, 704), "enlarged 2 times")]
)
def test_slides_are_read_at_the_pixel_size_of_the_model(make_model, slides, tmp_path, mpp, size, note):
    report = segment(make_model(mpp=mpp), inputs(slides / "s1.tiff"), tmp_path / "out", OPTIONS)
    codes = tifffile.imread(tmp_path / "out" / "slides" / "s1_classes.ome.tiff")
    assert codes.shape == size[::-1]
    [row] = report.rows
    assert row.map_mpp == max(mpp, 0.5)
    assert report.mpp == mpp
    assert note in " ".join(row.notes)
    assert bool(note) == bool(row.notes)
    assert row.mm2(*NAMES) == pytest.approx((codes < GLASS).sum() * row.map_mpp**2 / 1e6)


def test_a_slide_that_is_far_too_coarse_is_refused(model, slides, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text(f"slide,mpp\n{slides / 's0.tiff'},29\n")
    report = segment(model, inputs(table), tmp_path / "out", OPTIONS)
    assert "too coarse for the model, which was trained at 0.5: enlarged 58 times" in report.rows[0].error


def test_a_model_with_background_labels_glass_itself(make_model, slides, tmp_path):
    report = segment(make_model(background=True), inputs(slides / "s0.tiff"), tmp_path / "out", OPTIONS)
    assert report.classes == (*NAMES, "background")
    features = json.loads((tmp_path / "out" / "slides" / "s0.geojson").read_text())["features"]
    assert "background" not in {f["properties"]["classification"]["name"] for f in features}


def test_a_model_without_pixel_size_refuses_slides(make_model, slides, tmp_path):
    model = make_model(mpp=None)
    with pytest.raises(UsageError, match=r"training. Give it with --mpp"):
        segment(model, inputs(slides), tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
    options = OPTIONS.model_copy(update={"mpp": 1.0})
    assert segment(model, inputs(slides / "s0.tiff"), tmp_path / "out", options).rows[0].map_mpp == 1.0


def test_a_dense_crf_is_refused_for_slides(model, slides, tmp_path):
    with pytest.raises(UsageError, match=r"refines whole images, but s0 is a slide.*Leave --crf out, or cut the slide"):
        segment(model, inputs(slides / "s0.tiff"), tmp_path / "out", OPTIONS.model_copy(update={"crf": "tissue"}))
    assert not (tmp_path / "out").exists()


def test_bad_slides_do_not_stop_the_others(model, slides, tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    shutil.copy(slides / "s0.tiff", folder / "good.tiff")
    (folder / "text.svs").write_text("not a slide")
    content = (slides / "s1.tiff").read_bytes()
    (folder / "half.tiff").write_bytes(content[: len(content) // 2])
    Image.new("RGB", (300, 200), "pink").save(folder / "nosize.png")
    options = OPTIONS.model_copy(update={"kind": "slides"})
    report = segment(model, inputs(folder), tmp_path / "out", options)
    assert (report.worked, report.failed, report.complete) == (4, 3, True)
    failures = {row["name"]: row["failure"] for row in read_csv(tmp_path / "out" / "cohort.csv") if row["failure"]}
    assert failures.keys() == {"text", "half", "nosize"}
    assert "--slide-mpp" in failures["nosize"]
    assert not any("Unexpected" in failure for failure in failures.values())
    again = segment(model, inputs(folder, slide_mpp=0.5), tmp_path / "out", options)
    assert again.failed == 2  # the pixel size is known now
    assert {row.name: row.mpp for row in again.rows}["nosize"] == 0.5


def test_lack_of_memory_says_what_to_lower(model, slides, tmp_path, monkeypatch, out_of_memory):
    monkeypatch.setattr(Predictor, "__call__", out_of_memory)
    report = segment(model, inputs(slides / "s0.tiff"), tmp_path / "maps", OPTIONS)
    (row,) = report.rows
    assert row.error == "There is not enough memory for it. Lower --batch or --size; finished results are kept."


def test_glass_only(model, tmp_path):
    Image.new("RGB", (300, 200), (244, 244, 244)).save(tmp_path / "empty.png")
    options = OPTIONS.model_copy(update={"kind": "slides"})
    report = segment(model, inputs(tmp_path / "empty.png", slide_mpp=0.5), tmp_path / "out", options)
    assert report.failed == 0
    assert "No tissue found" in report.rows[0].notes[0]
    assert report.rows[0].mm2(*NAMES) == 0
    assert report.rows[0].percent("tumor") is None


def test_shards_join_to_the_same_bytes(done, model, slides, tmp_path):
    out = tmp_path / "maps"
    first = segment(model, inputs(slides), out, OPTIONS, ComputeOptions(shard=Shard(1, 2)))
    assert [row.status for row in first.rows] == ["done", "waiting"]
    assert (first.worked, first.complete) == (1, False)
    assert segment(model, inputs(slides), out, OPTIONS, ComputeOptions(shard=Shard(2, 2), batch=1)).complete
    assert contents(out) == contents(done[0])


def test_the_table_includes_a_shard_that_ended_while_it_was_written(done, model, slides, tmp_path, monkeypatch):
    out = tmp_path / "maps"

    def late(*given):
        monkeypatch.undo()
        assert segment(model, inputs(slides), out, OPTIONS, ComputeOptions(shard=Shard(2, 2))).complete
        return write_cohort(*given)

    monkeypatch.setattr("qaclims_path.pipeline.inference.segment.write_cohort", late)
    assert segment(model, inputs(slides), out, OPTIONS, ComputeOptions(shard=Shard(1, 2))).complete
    assert contents(out) == contents(done[0])


def test_a_run_that_is_stopped_leaves_a_page_and_continues_to_the_same_bytes(
    done, model, slides, tmp_path, monkeypatch
):
    out = tmp_path / "maps"

    def stopping(task, *given):
        if task.name == "s1":
            raise KeyboardInterrupt
        return process(task, *given)

    monkeypatch.setattr("qaclims_path.pipeline.inference.segment.REFRESH", 0)
    monkeypatch.setattr("qaclims_path.pipeline.inference.slides.process", stopping)
    with pytest.raises(KeyboardInterrupt):
        segment(model, inputs(slides), out, OPTIONS)
    assert "1 of 2 done, 1 waiting" in (out / "cohort.html").read_text(encoding="utf-8")
    monkeypatch.undo()
    assert segment(model, inputs(slides), out, OPTIONS).complete
    assert contents(out) == contents(done[0])


@pytest.mark.slow
def test_devices_share_the_slides(done, model, slides, tmp_path):
    report = segment(model, inputs(slides), tmp_path / "maps", OPTIONS, ComputeOptions(device="cpu,cpu"))
    assert (report.worked, report.complete, report.device) == (2, True, "cpu, cpu")
    assert contents(tmp_path / "maps") == contents(done[0])


def test_two_at_once_are_refused_but_shards_share(model, slides, tmp_path):
    out = tmp_path / "maps"
    given = inputs(slides / "s0.tiff")
    with locked(out / "state" / "run.lock"), pytest.raises(Locked, match=rf"{out} is being written by process"):
        segment(model, given, out, OPTIONS)
    with locked(out / "state" / "run.lock", shared=True):
        assert segment(model, given, out, OPTIONS, ComputeOptions(shard=Shard(2, 2))).worked == 0


def test_a_folder_of_other_files_is_refused(model, make_model, slides, done, tmp_path):
    out = done[0]
    with pytest.raises(UsageError, match=r"options.size was 128, now 256.*Choose another --out"):
        segment(model, inputs(slides), out, OPTIONS.model_copy(update={"size": 256}))
    with pytest.raises(UsageError, match=r"model.weights was"):
        segment(make_model(seed=1), inputs(slides), out, OPTIONS)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'mine.txt', which `qaclims segment` did not write"):
        segment(model, inputs(slides), tmp_path, OPTIONS)


def test_its_own_results_are_not_inputs(model, slides, done, tmp_path):
    report = segment(model, inputs(done[0], slides / "s0.tiff"), tmp_path / "out", OPTIONS)
    assert [row.name for row in report.rows] == ["s0"]
    assert "written by `qaclims segment`" in report.skipped.values()
    with pytest.raises(BadFile, match="only holds files that `qaclims segment` wrote"):
        segment(model, inputs(done[0]), tmp_path / "again", OPTIONS)


def test_unwritable_paths_are_a_sentence(model, slides, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QaclimsError, match=r"cannot be written: .*Choose another folder"):
        segment(model, inputs(slides), tmp_path / "file" / "out", OPTIONS)


def test_a_full_disk_ends_the_run_with_one_sentence(done, model, slides, tmp_path):
    """A limit on the size of files replaces a full disk; only the message of the system differs."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(OutOfSpace, match=r"cannot be written"):
            segment(model, inputs(slides), tmp_path / "maps", OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "maps" / "cohort.csv").exists()
    assert segment(model, inputs(slides), tmp_path / "maps", OPTIONS).failed == 0
    assert contents(tmp_path / "maps") == contents(done[0])


def test_no_such_model_or_device(slides, tmp_path, model):
    (tmp_path / "run").mkdir()
    with pytest.raises(BadFile, match=r"holds no segmenter.*qaclims train seg"):
        segment(tmp_path / "run", inputs(slides), tmp_path / "out", OPTIONS)
    with pytest.raises(UsageError, match=r"device 'gpuu' cannot be used"):
        SegmentModel(model, OPTIONS, "gpuu")
