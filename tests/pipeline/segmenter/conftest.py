"""Runs with masks but no network, and trainings of a few steps with tiny encoders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.split import open_split
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.maps import ImageMaps, MapWriter
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.train import TrainSegReport, train_seg

TINY = [
    "seg.network.encoder=test_resnet",
    "seg.network.weights=none",
    "seg.network.architecture=unet",
    "seg.augment.size=32",
    "seg.train.epochs=1",
    "seg.train.batch=2",
]
Train = Callable[..., TrainSegReport]


@pytest.fixture(scope="session")
def quiet(quiet) -> RunSettings:
    """With a log."""
    return quiet.model_copy(update={"loggers": ("csv",)})


@pytest.fixture(scope="session")
def pseudo(tmp_path_factory, fake) -> Callable[..., Path]:
    """Make a run with masks of a training split, from maps with stripes, once."""
    made: dict[tuple[str, str], Path] = {}

    def make(name: str, split: str = "train") -> Path:
        if (name, split) in made:
            return made[name, split]
        card, run = load_card(name), tmp_path_factory.mktemp("run") / name
        images = []
        for record in list_records(card, fake(name), split):
            height, width = record.image.pixels().shape[:2]
            present = tuple(range(len(card.names))) if record.present is None else record.present
            maps = np.zeros((len(present), (height + 3) // 4, (width + 3) // 4), np.float16)
            for k, stripe in enumerate(np.array_split(np.arange(maps.shape[2]), len(present) + 1)[1:]):
                maps[k][:, stripe] = 0.9
            images.append(ImageMaps(record.id, present, (height, width), maps))
        settings = {"dataset": card.name, "split": split, "gate": "oracle", "model": "0" * 16}
        writer = MapWriter(run / "cams" / split, card.names, settings)
        writer.write(0, images)
        writer.finish(1)
        make_masks(run, open_split(card, fake(name), split), MaskOptions(least=0.5))
        made[name, split] = run
        return run

    return make


@pytest.fixture
def train(tmp_path, fake, pseudo, quiet) -> Train:
    """Train a recipe for two steps."""

    def run(
        recipe: str, *settings: str, out: Path | None = None, running: RunSettings = quiet, **given
    ) -> TrainSegReport:
        options = load_seg_options(recipe, [*TINY, *settings])
        root = given.pop("root", None) or fake(options.dataset)
        if "masks" not in given and not options.truth:
            given["masks"] = pseudo(options.dataset, options.split) / "masks" / options.split
        return train_seg(options, root, out or tmp_path / "run", running=running, **given)

    return run
