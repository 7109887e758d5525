import json
import shutil

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.slides import app
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import QaclimsError


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    for i in range(2):
        write_slide(folder, f"s{i}", PhantomSpec(i, 640, 512, mpp=0.5, patient=f"P{i}"))
    return folder


def qaclims(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, QaclimsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_info(slides):
    code, said = qaclims("info", slides / "s0.tiff")
    assert code == 0
    assert "640 x 512 pixels" in said
    assert "0.32 x 0.26 mm" in said
    found = json.loads(qaclims("info", slides / "s0.tiff", "--json")[1])
    assert found["slide"]["mpp"] == [0.5, 0.5]
    assert found["levels"][1]["mpp"] == [2.0, 2.0]


def test_info_without_pixel_size(slides, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    assert "--slide-mpp" in qaclims("info", tmp_path / "a.png")[1]
    assert "0.25 um" in qaclims("info", tmp_path / "a.png", "--slide-mpp", "0.25")[1]


def test_tile(slides, tmp_path):
    common = [slides, "--out", tmp_path / "tiles", "--magnification", "20", "--size", "128", "--labels", slides]
    with pytest.raises(QaclimsError, match="Say what that means: --annotations sparse") as raised:
        qaclims("tile", *common)
    assert raised.value.exit_code == 2
    common += ["--annotations", "complete"]
    code, said = qaclims("tile", *common, "--dry-run")
    assert code == 0
    assert "Nothing was written" in said
    assert not (tmp_path / "tiles").exists()
    code, said = qaclims("tile", *common)
    assert code == 0
    assert "from 2 slides" in said
    assert "palette" in said
    assert "drawn  present  absent  unknown" in said
    assert "annotations.json" in said
    report = json.loads(qaclims("tile", *common, "--json")[1])
    assert report["complete"]
    assert report["tiles"].keys() == {"train", "val"}
    assert "Every slide is done" in qaclims("tile", *common, "--dry-run")[1]
    rows = (tmp_path / "tiles" / "manifest.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(report["tiles"].values())


def test_tile_with_masks(slides, tmp_path):
    common = [slides, "--out", tmp_path / "tiles", "--mpp", "0.5", "--size", "128", "--masks"]
    with pytest.raises(QaclimsError, match="--masks draws the regions") as raised:
        qaclims("tile", *common)
    assert raised.value.exit_code == 2
    assert qaclims("tile", *common, "--labels", slides, "--annotations", "complete")[0] == 0
    assert "supervision: masks" in (tmp_path / "tiles" / "card.yaml").read_text()
    assert list((tmp_path / "tiles" / "masks").glob("s?/*.png"))


def test_exit_codes(slides, tmp_path):
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    (folder / "s0.tiff").write_text("not a slide")
    common = ["--mpp", "0.5", "--size", "128"]
    code, said = qaclims("tile", folder, "--out", tmp_path / "some", *common)
    assert code == 3
    assert "s0 failed:" in said
    assert qaclims("tile", folder / "s0.tiff", "--out", tmp_path / "all", *common)[0] == 1
    assert qaclims("tile", folder, "--out", tmp_path / "x", *common, "--dry-run")[0] == 3
    code, said = qaclims("tile", folder, "--out", tmp_path / "parts", *common, "--shard", "2/2")
    assert code == 0
    assert "1 slides wait" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give either --mpp"),
        (["--mpp", "0.5", "--magnification", "20"], "Give either --mpp"),
        (["--mpp", "0.5", "--stride", "10", "--overlap", "0.5"], "Give either --stride"),
        (["--mpp", "0.5", "--min-tissue", "2"], "'min_tissue'"),
        (["--mpp", "0.5", "--write", "gif"], "'write'.*'jpeg'"),
        (["--mpp", "0.5", "--shard", "2"], "--shard 2 should look like"),
        (["--mpp", "0.5", "--shard", "3/2"], "no part 3 of 2"),
        (["--mpp", "0.5", "--split-shares", "a,b"], "numbers with commas"),
        (["--mpp", "0.5", "--split-shares", "0.5,0.1,0.1"], "add up to 0.7"),
        (["--mpp", "0.5", "--engine", "dask"], "'engine'.*'local' or 'ray'"),
    ],
)
def test_wrong_use(slides, tmp_path, arguments, says):
    with pytest.raises(QaclimsError, match=says) as raised:
        qaclims("tile", slides, "--out", tmp_path / "tiles", *arguments)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "tiles").exists()
