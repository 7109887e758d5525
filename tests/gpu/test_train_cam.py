"""Training steps of every method on the pretended GPU: no mixed devices, and as few waits as the table allows."""

import pytest

from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.train import train_cam

TINY = [
    "cam.network.backbone=test_resnet",
    "cam.network.weights=none",
    "cam.augment.size=32",
    "cam.init.start=none",
    "cam.train.epochs=1",
    "cam.train.batch=2",
    "cam.train.accumulate=1",
    "cam.train.clip=1.0",
    "cam.train.ema=0.9",
]
PATH = ["cam.losses.ramp=[0,0]", "judge.glass=hide", "judge.turned=true", "judge.centred=true"]


@pytest.fixture
def train(steps, tmp_path, data, corpus, running, clip):
    """Train a method for two steps; returns their notes."""

    def run(method: str, *settings: str, precision: str = "bf16", **more):
        path = PATH if method == "qa-clims-path" else []
        options = load_options(f"bcss-wsss/{method}", [*TINY, *path, f"judge.id={clip}", *settings])
        train_cam(options, data, tmp_path / "run", corpus=corpus, running=running(precision=precision, **more))
        return steps

    return run


@pytest.mark.parametrize("method", ["cam", "clims", "qa-clims", "qa-clims-path"])
def test_steps_of_every_method(train, check, method):
    found = train(method)
    assert len(found) == 2
    for notes in found:
        check(notes, method)


VARIANTS = {
    "embedded judge": (["judge.id=embedded"], "bf16", ["qa-clims-path"]),
    "two micro-batches": (["cam.train.accumulate=2"], "bf16", ["qa-clims-path", "a micro-batch"]),
    "fp16": (["cam.train.accumulate=2"], "fp16", ["qa-clims-path", "a micro-batch", "fp16"]),
    "chunks": (["judge.chunk=1"], "bf16", ["qa-clims-path", *["a chunk"] * 5]),
    "vit": (["cam.network.backbone=test_vit"], "bf16", ["qa-clims-path"]),
    "side heads": (["cam.network.side={stages: [2, 3], gate: true, context: 5}"], "bf16", ["qa-clims-path"]),
    "window": (["judge.scale=own", "judge.id=embedded"], "bf16", ["qa-clims-path"]),
    "all texts": (
        ["cam.losses.negatives=[answers,classes,words]", "cam.losses.area=0.1", "cam.losses.competition=tissue"],
        "bf16",
        ["qa-clims-path"],
    ),
    "no competition": (["cam.losses.competition=none", "words.source=knowledge"], "fp32", ["qa-clims-path"]),
}


@pytest.mark.parametrize(("settings", "precision", "names"), VARIANTS.values(), ids=VARIANTS)
def test_steps_of_variants(train, check, settings, precision, names):
    for notes in train("qa-clims-path", *settings, precision=precision):
        check(notes, *names)


def test_steps_as_published(train, check):
    for notes in train("qa-clims", "published=true", "cam.train.ema=null", "cam.train.optimizer=sgd"):
        check(notes, "qa-clims")


def test_a_checkpoint_is_written_and_resumed(gpu, train, check, tmp_path, running, monkeypatch):
    found = train("cam", "cam.train.epochs=2", save_every=1, loggers=("csv",), precision="auto")
    checkpoints = tmp_path / "run" / "cam" / "checkpoints"
    assert len(found) == 4
    for path in sorted(checkpoints.iterdir())[-1:]:
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    (tmp_path / "run" / "cam" / "result.json").unlink()
    train("cam", "cam.train.epochs=2", save_every=1, loggers=("csv",), precision="auto")
    assert len(found) == 5
    check(found[-1], "cam")
    assert not gpu.mixes, gpu
