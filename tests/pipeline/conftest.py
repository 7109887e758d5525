"""Fixtures of trainings and whole runs of seconds: a tiny judge, made-up data sets, and one quiet process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.engine.settings import RunSettings

SIDE = 32


@pytest.fixture(scope="session")
def quiet() -> RunSettings:
    """One process, no logs."""
    return RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, quiet=True, loggers=(), log_every=1)


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
def ovseg(tmp_path_factory) -> Path:
    """A checkpoint with the names of OVSeg and random weights: CLIP, mask embeddings, and what no judge reads."""
    path = tmp_path_factory.mktemp("ovseg") / "ovseg.pth"
    vision = {"image_size": SIDE, "patch_size": 8, "width": 64, "layers": 3, "head_width": 64}
    torch.manual_seed(0)
    clip = CLIP(8, vision, {"context_length": 32, "width": 64, "heads": 1, "layers": 1}, quick_gelu=True)
    state = {f"clip_adapter.clip_model.{name}": value for name, value in clip.state_dict().items()}
    state["clip_adapter.clip_model.visual.mask_embedding"] = torch.randn(3, 16, 64)
    state["sem_seg_head.predictor.class_embed.weight"] = torch.zeros(3)
    torch.save({"model": state, "iteration": 1}, path)
    return path


@pytest.fixture(scope="session")
def fake(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a made-up data set by its name, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("data") / name
            write_fake(load_card(name), made[name], images=4)
        return made[name]

    return make


@pytest.fixture(scope="session")
def bcss(fake: Callable[[str], Path]) -> Path:
    """A made-up BCSS-WSSS, four images in each split. Tests that change files copy it first."""
    return fake("bcss-wsss")


@pytest.fixture(scope="session")
def voc(fake: Callable[[str], Path]) -> Path:
    """A made-up VOC 2012, four images in each split. Tests that change files copy it first."""
    return fake("voc2012")


@pytest.fixture
def out_of_memory() -> Callable[..., None]:
    """Work that asks torch for an exabyte, which it refuses on the CPU with a plain `RuntimeError`."""

    def work(*_: object, **__: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    return work
