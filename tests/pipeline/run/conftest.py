"""Runs that take seconds: four painted images per split, tiny networks, one epoch."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.steps import Run

TINY = [
    "cam.network.backbone=test_resnet",
    "cam.network.weights=none",
    "cam.augment.size=32",
    "cam.train.epochs=1",
    "cam.train.batch=2",
    "cam.init.train={epochs: 1}",
    "seg.network={encoder: test_resnet, weights: none, architecture: unet}",
    "seg.augment.size=32",
    "seg.train.epochs=1",
    "seg.train.batch=2",
]
Make = Callable[..., Run]


@pytest.fixture(scope="session")
def root(fake) -> Path:
    """Painted tissue, four images to a split."""
    return fake("phantom")


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of tiny networks."""
    return TINY


@pytest.fixture(scope="session")
def make(root, quiet) -> Make:
    """Make a run of a recipe in a folder, with more settings."""

    def made(out: Path, *settings: str, recipe: str = "phantom/cam", **given) -> Run:
        return replace(Run(load_run(recipe, [*TINY, *settings]), root, out, running=quiet), **given)

    return made


@pytest.fixture(scope="session")
def finished(make, tmp_path_factory) -> Path:
    """The folder of a finished run of plain maps."""
    from qaclims_path.pipeline.run.pipeline import do_run

    out = tmp_path_factory.mktemp("finished") / "run"
    do_run(make(out))
    return out


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"
