"""Whole runs of seconds: four painted images a split, tiny networks, one epoch, and a judge of random weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.engine.settings import RunSettings
from qaclims_path.recipes.run_options import load_run
from qaclims_path.recipes.run_steps import Run

QUIET = RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, quiet=True, loggers=(), log_every=1)
TINY = [
    "network.backbone=test_resnet",
    "network.weights=none",
    "augment.size=32",
    "train.epochs=1",
    "train.batch=2",
    "init.train={epochs: 1}",
    "seg.network={encoder: test_resnet, weights: none, architecture: unet}",
    "seg.augment.size=32",
    "seg.train.epochs=1",
    "seg.train.batch=2",
]
SIDE = 32
Make = Callable[..., Run]


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """Painted tissue, four images to a split."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    write_fake(load_card("phantom"), folder, images=4)
    return folder


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings for seconds."""
    return TINY


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Path:
    """An open_clip folder with random weights, which understands any text."""
    folder = tmp_path_factory.mktemp("judge")
    text = {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}
    vision = {"image_size": SIDE, "patch_size": 16, "width": 16, "layers": 1, "head_width": 16}
    preprocess = {"size": [SIDE, SIDE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    save_file(CLIP(8, vision, text).state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def make(root) -> Make:
    """A run of a recipe in a folder, with more settings."""

    def made(out: Path, *settings: str, recipe: str = "phantom/cam", **given) -> Run:
        return replace(Run(load_run(recipe, [*TINY, *settings]), root, out, running=QUIET), **given)

    return made


@pytest.fixture(scope="session")
def finished(make, tmp_path_factory) -> Path:
    """The folder of a finished run of plain maps."""
    from qaclims_path.recipes.run import do_run

    out = tmp_path_factory.mktemp("finished") / "run"
    do_run(make(out))
    return out


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """The same, to be changed."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"
