import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from qaclims_path.cli.segment import app
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec

COMMON = ["--size", "128", "--precision", "fp32", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with a segmenter in it."""
    folder = tmp_path_factory.mktemp("run")
    channels = (Channel("tumor", "Tumor", (255, 0, 0), 0), Channel("stroma", "Stroma", (0, 200, 0), 1))
    torch.manual_seed(0)
    spec = SegmenterSpec("unet", find_backbone("test_resnet"), channels, {}, 0.5, {"domain": "pathology"})
    Segmenter(spec).eval().save_pretrained(folder / "seg")
    return folder


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    write_slide(folder, "s0", PhantomSpec(1, 512, 512, mpp=0.5))
    return folder


def qaclims(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, QaclimsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_slides(run, slides, tmp_path):
    code, said = qaclims(run, slides, "--out", tmp_path / "maps", *COMMON)
    assert code == 0
    assert "1 slide done" in said
    assert "looked at with 0.5 um per pixel" in said
    assert "stroma" in said
    code, said = qaclims(run, slides, "--out", tmp_path / "maps", *COMMON, "--json")
    report = json.loads(said)
    assert report["rows"][0]["status"] == "done"
    assert sum(report["rows"][0]["pixels"].values()) > 0
    assert (tmp_path / "maps" / "cohort.csv").is_file()


def test_failures_have_exit_codes(run, slides, tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    (folder / "bad.svs").write_text("not a slide")
    code, said = qaclims(run, folder, "--out", tmp_path / "one", *COMMON)
    assert code == 1
    assert "bad failed: " in said
    shutil.copy(slides / "s0.tiff", folder)
    code, said = qaclims(run, folder, "--out", tmp_path / "two", *COMMON, "--no-confidence")
    assert code == 3
    assert not list((tmp_path / "two" / "slides").glob("*_confidence*"))


def test_wrong_use(run, slides, tmp_path):
    with pytest.raises(UsageError, match="2/8"):
        qaclims(run, slides, "--out", tmp_path, "--shard", "2")
    with pytest.raises(UsageError, match="overlap"):
        qaclims(run, slides, "--out", tmp_path, "--overlap", "1")
