"""A data set to damage, and what a check says of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.pipeline.datasets.check import CheckReport, check


class Checked(NamedTuple):
    """A report, the number of problems of each kind, and the sentences about them."""

    report: CheckReport
    kinds: dict[str, int]
    sentences: list[str]


@pytest.fixture
def checked() -> Callable[..., Checked]:
    """Check a data set; options are those of `check`."""

    def run(card: Card, root: Path, **options: bool) -> Checked:
        report = check(card, root, **options)
        kinds = {group.kind: group.count for group in report.problems}
        return Checked(report, kinds, [sentence for group in report.problems for sentence in group.first])

    return run


@pytest.fixture
def card() -> Card:
    """The card of BCSS-WSSS."""
    return load_card("bcss-wsss")


@pytest.fixture
def root(bcss: Path, tmp_path: Path) -> Path:
    """A copy of a made-up BCSS-WSSS, to damage."""
    return Path(shutil.copytree(bcss, tmp_path / "bcss"))


@pytest.fixture
def train_images(root: Path) -> list[Path]:
    """The images of its split train."""
    return sorted(next(path for path in (root / "training", root / "train") if path.is_dir()).glob("*.png"))


@pytest.fixture
def images(root: Path) -> list[Path]:
    """The images of its split val."""
    return sorted((root / "val" / "img").glob("*.png"))


@pytest.fixture
def masks(root: Path) -> list[Path]:
    """The masks of its split val."""
    return sorted((root / "val" / "mask").glob("*.png"))
