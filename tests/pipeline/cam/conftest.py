"""Corpora of made-up data sets, and trainings of two steps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qaclims_path.data.dataset import open_dataset
from qaclims_path.engine.settings import RunSettings
from qaclims_path.language.corpus import CorpusAnswer, Entry, to_line
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.train import TrainCamReport, train_cam

TINY = [
    "cam.network.backbone=mobilenetv2_035",
    "cam.network.weights=none",
    "cam.augment.size=32",
    "cam.init.start=none",
]
STEPS = ["cam.train.epochs=1", "cam.train.batch=2", "cam.train.accumulate=1"]
Train = Callable[..., TrainCamReport]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, fake) -> Callable[[str, str], Path]:
    """Make a corpus for a split of a made-up data set, once; every third pair has no background answers."""
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
                    said = [tuple(CorpusAnswer("asked", text, text) for text in texts) for texts in (own, around)]
                    entries.append(Entry(sample.id, data.classes[label], *said))
            path.write_bytes(b"".join(to_line(entry) for entry in entries))
        return made[name, split]

    return make


@pytest.fixture
def train(tmp_path, judge, fake, corpus, quiet) -> Train:
    """Train a recipe for two steps with tiny models."""

    def run(recipe: str, *settings: str, out: str = "run", running: RunSettings = quiet, **given) -> TrainCamReport:
        options = load_options(recipe, [*TINY, *STEPS, f"judge.id={judge}", *settings])
        root = given.pop("root", None) or fake(options.shared.dataset)
        answers = given.pop("corpus", None) or corpus(options.shared.dataset, options.shared.split)
        return train_cam(options, root, tmp_path / out, corpus=answers, running=running, **given)

    return run
