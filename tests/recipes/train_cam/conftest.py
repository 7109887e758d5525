"""Tiny judges, made-up data sets and corpora, and trainings of two steps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.engine.settings import RunSettings
from qaclims_path.language.corpus import Entry, Said, to_line
from qaclims_path.recipes.train_cam import TrainCamReport, train_cam
from qaclims_path.recipes.train_cam_options import load_options

SIDE = 32
QUIET = RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, quiet=True, loggers=(), log_every=1)
TINY = ["network.backbone=mobilenetv2_035", "network.weights=none", "augment.size=32", "init.start=none"]
STEPS = ["train.epochs=1", "train.batch=2", "train.accumulate=1"]
Train = Callable[..., TrainCamReport]


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
def corpus(tmp_path_factory, fake) -> Callable[[str, str], Path]:
    """A corpus for a split of a made-up data set, made once; every third pair has nothing around it."""
    made: dict[tuple[str, str], Path] = {}

    def make(name: str, split: str) -> Path:
        if (name, split) not in made:
            made[name, split] = path = tmp_path_factory.mktemp("corpus") / f"{name}.jsonl"
            data = open_dataset(name, fake(name), split, masks=False)
            entries = []
            for number, sample in enumerate(data[i] for i in range(len(data))):
                for label in sample.present.nonzero()[:, 0].tolist():
                    own = [f"pink {data.classes[label]}", f"dense cells {number}"]
                    around = ["collagen", "fat"][: number % 3]
                    said = [tuple(Said("asked", text, text) for text in texts) for texts in (own, around)]
                    entries.append(Entry(sample.id, data.classes[label], *said))
            path.write_bytes(b"".join(to_line(entry) for entry in entries))
        return made[name, split]

    return make


@pytest.fixture
def quiet() -> RunSettings:
    """One process, no logs."""
    return QUIET


@pytest.fixture
def train(tmp_path, judge, fake, corpus) -> Train:
    """Train a recipe for two steps with tiny models; more settings and another folder can be given."""

    def run(recipe: str, *settings: str, out: str = "run", running: RunSettings = QUIET, **given) -> TrainCamReport:
        options = load_options(recipe, [*TINY, *STEPS, f"judge.id={judge}", *settings])
        root = given.pop("root", None) or fake(options.dataset)
        answers = given.pop("corpus", None) or corpus(options.dataset, options.split)
        return train_cam(options, root, tmp_path / out, corpus=answers, running=running, **given)

    return run
