"""Models that learnt from painted tissue: refused on other slides and images, unless the user agrees."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.errors import UsageError
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.inference.segment import segment

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


def test_other_models_need_no_consent(model, real, tmp_path):
    report = segment(model, SegmentInputs(real), tmp_path / "maps", OPTIONS)
    assert [row.status for row in report.rows] == ["done", "done"]
