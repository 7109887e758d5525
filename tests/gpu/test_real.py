"""On a real GPU: numbers as on the CPU, memory that is given back, two processes on one card.

`pytest -m gpu` runs them where there is a GPU. The same bodies run with the CPU in its place, so that they stay alive.
"""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

from qaclims_path.data.cards import load_card
from qaclims_path.data.split import open_split
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.maps import ImageMaps, MapReader
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.train import train_cam
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.train import train_seg

LOSS = 1e-3  # largest relative difference of a loss in fp32
WEIGHT = 1e-3  # largest difference of a weight after two steps
MAP = 5e-3  # largest difference of a map in 0..1, which is stored in fp16
PIXELS = 0.999  # share of pixels with the same class
LEFT = 16 * 2**20  # bytes of workspaces that torch keeps
TRAIN = ["epochs=1", "batch=2", "accumulate=1", "optimizer=sgd", "lr=0.001"]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Multiply in full fp32, as the CPU does."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    return request.param


@pytest.fixture
def card_of_gpu() -> None:
    """Skip a test that only a GPU can run."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")


def runs(device: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Name and device of two runs that should be equal."""
    return ("own", device), ("cpu", "cpu")


def settings(device: str) -> RunSettings:
    return RunSettings(devices=1, accelerator=device, precision="fp32", workers=0, quiet=True, loggers=())


def train_maps(out: Path, device: str, method: str, data: Path, corpus: Path, clip: Path) -> dict[str, float]:
    """Train for two steps; returns the losses."""
    tiny = [
        "cam.network.backbone=test_resnet",
        "cam.network.weights=none",
        "cam.augment.size=64",
        "cam.init.start=none",
    ]
    path = ["cam.losses.ramp=[0,0]", "judge.centred=true"] if method == "qa-clims-path" else []
    judge = [f"judge.id={clip}", "judge.dtype=fp32"]
    options = load_options(f"bcss-wsss/{method}", [*tiny, *(f"cam.train.{each}" for each in TRAIN), *path, *judge])
    return train_cam(options, data, out, corpus=corpus, running=settings(device)).losses


def assert_same_weights(first: Path, second: Path) -> None:
    expected = load_file(second)
    for name, value in load_file(first).items():
        torch.testing.assert_close(value, expected[name], atol=WEIGHT, rtol=0)


@pytest.mark.parametrize("method", ["cam", "clims", "qa-clims", "qa-clims-path"])
def test_two_steps_of_a_method(device, method, tmp_path, data, corpus, clip):
    found, expected = (train_maps(tmp_path / name, each, method, data, corpus, clip) for name, each in runs(device))
    assert found == pytest.approx(expected, rel=LOSS, abs=LOSS)
    assert_same_weights(*(tmp_path / name / "cam" / "camnet.safetensors" for name in ("own", "cpu")))


def test_maps(device, tmp_path, data):
    torch.manual_seed(0)
    found: list[list[ImageMaps]] = []
    CamNet("test_resnet", load_card("bcss-wsss").names, dilated=False).save(tmp_path / "run" / "cam")
    for name, each in runs(device):
        options = MapOptions(scales=(1.0, 0.5), device=each, precision="fp32")
        make_cams(tmp_path / "run", open_split("bcss-wsss", data, "train"), options, out=tmp_path / name)
        with MapReader(tmp_path / name) as reader:
            found.append(list(reader))
    for own, of_cpu in zip(*found, strict=True):
        assert own.classes == of_cpu.classes
        np.testing.assert_allclose(own.maps.astype(float), of_cpu.maps.astype(float), atol=MAP)


def test_two_steps_of_a_segmenter(device, tmp_path, glas):
    tiny = ["network.encoder=test_resnet", "network.weights=none", "network.architecture=unet", "augment.size=64"]
    tiny += [*(f"train.{each}" for each in TRAIN), "truth=true"]
    options = load_seg_options("glas/cam", [f"seg.{each}" for each in tiny])
    found, expected = (
        train_seg(options, glas, tmp_path / name, running=settings(each)).losses for name, each in runs(device)
    )
    assert found == pytest.approx(expected, rel=LOSS, abs=LOSS)
    assert_same_weights(*(tmp_path / name / "seg" / "model.safetensors" for name in ("own", "cpu")))


def test_a_slide(device, tmp_path, model, slide):
    codes = []
    for name, each in runs(device):
        options = SegmentOptions(size=128, precision="fp32")
        segment(model, SegmentInputs((str(slide),)), tmp_path / name, options, ComputeOptions(device=each, batch=4))
        codes.append(tifffile.imread(next((tmp_path / name / "slides").glob("*_classes.ome.tiff"))))
    assert (codes[0] == codes[1]).mean() >= PIXELS


@pytest.mark.gpu
@pytest.mark.usefixtures("card_of_gpu")
def test_two_processes_on_one_card(tmp_path):
    device, script = "cuda", Path(__file__).with_name("two_processes.py")
    subprocess.run([sys.executable, script, device, tmp_path / "two"], check=True, timeout=300)
    code = f"import sys; sys.path.insert(0, {str(script.parent)!r}); from pathlib import Path; import two_processes"
    alone = f"{code}; two_processes.train(0, {device!r}, Path({str(tmp_path / 'one')!r}), 1)"
    subprocess.run([sys.executable, "-c", alone], check=True, timeout=300)
    assert_same_weights(tmp_path / "two" / "weights.safetensors", tmp_path / "one" / "weights.safetensors")


@pytest.mark.gpu
@pytest.mark.usefixtures("card_of_gpu")
def test_a_training_gives_its_memory_back(tmp_path, data, corpus, clip):
    train_maps(tmp_path / "first", "cuda", "qa-clims-path", data, corpus, clip)  # libraries keep their workspaces
    gc.collect()
    before = torch.cuda.memory_allocated()
    train_maps(tmp_path / "second", "cuda", "qa-clims-path", data, corpus, clip)
    gc.collect()
    assert torch.cuda.memory_allocated() - before < LEFT
