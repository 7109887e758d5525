"""Models that learnt from painted tissue: refused on other slides and images, unless the user agrees."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.errors import UsageError
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.inference.warnings import warnings_about

OPTIONS = SegmentOptions(size=128, precision="fp32")
AGREED = ComputeOptions(yes_demo=True)


@pytest.fixture(scope="module")
def toy(make_model):
    return make_model(learnt_from="painted tissue")


@pytest.fixture
def real(slides, tmp_path):
    """A slide of another program, and an image."""
    pixels = tifffile.imread(slides / "s0.tiff", key=0)
    settings = {"tile": (256, 256), "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "one.tiff", pixels, photometric="rgb", software="scanner", metadata=None, **settings)
    Image.fromarray(np.ascontiguousarray(pixels[:100, :120])).save(tmp_path / "tile.png")
    return str(tmp_path / "one.tiff"), str(tmp_path / "tile.png")


def test_it_is_refused_on_what_is_not_painted(toy, real, slides, tmp_path):
    with pytest.raises(UsageError, match=r"learnt from painted tissue, and 2 of 3 inputs are not painted.* --yes-demo"):
        segment(toy, SegmentInputs((str(slides / "s0.tiff"), *real)), tmp_path / "maps", OPTIONS)
    assert not (tmp_path / "maps").exists()


def test_it_labels_painted_slides_and_with_consent_all_others(toy, real, slides, tmp_path):
    painted = segment(toy, SegmentInputs((str(slides / "s0.tiff"),)), tmp_path / "painted", OPTIONS)
    agreed = segment(toy, SegmentInputs(real), tmp_path / "real", OPTIONS, AGREED)
    assert [row.status for row in (*painted.rows, *agreed.rows)] == ["done"] * 3


def test_everything_that_it_writes_says_so(toy, slides, tmp_path):
    report = segment(toy, SegmentInputs((str(slides / "s0.tiff"),)), tmp_path / "maps", OPTIONS)
    maps = tmp_path / "maps" / "slides"
    said = "Demonstration model: it learnt from painted tissue. Do not rely on what it says."
    assert report.notes == (said,)
    assert [row["notes"] for row in read_csv(tmp_path / "maps" / "cohort.csv")] == [said]
    features = json.loads((maps / "s0.geojson").read_text())["features"]
    assert features
    assert {feature["properties"]["metadata"]["notice"] for feature in features} == {said}
    for name in ("classes", "confidence"):
        with tifffile.TiffFile(maps / f"s0_{name}.ome.tiff") as tiff:
            assert f"<Description>{said}</Description>" in tiff.ome_metadata
    assert f'<p class="warning">{said}</p>' in (tmp_path / "maps" / "cohort.html").read_text(encoding="utf-8")


def test_other_pixel_sizes_organs_and_stains_are_said(make_model):
    model = make_model(organ="breast")

    def said(mpp=None, **work):
        known = SegmentModel(model, SegmentOptions(mpp=mpp, precision="fp32"), "cpu")
        return warnings_about(known, ComputeOptions(**work))

    assert said() == said(mpp=0.51, organ="Breast") == ()
    assert said(mpp=1.0) == ("The model predicts at 1 um per pixel, but it learnt at 0.5.",)
    assert said(organ="colon") == ("The organ is colon, but the model learnt from breast.",)
    assert said(stain="PAS") == ("The stain is PAS, but the model does not state its stain.",)


def test_an_enlarged_image_says_so_in_its_row(model, real, tmp_path):
    report = segment(model, SegmentInputs(real[1:], slide_mpp=1.5), tmp_path / "maps", OPTIONS)
    (note,) = report.rows[0].notes
    assert note.startswith("It has 1.5 um per pixel, coarser than the 0.5 of the model: it was enlarged 3 times.")
    assert note.endswith("Do not rely on the result.")


def test_other_models_need_no_consent(model, real, tmp_path):
    report = segment(model, SegmentInputs(real), tmp_path / "maps", OPTIONS)
    assert [row.status for row in report.rows] == ["done", "done"]
