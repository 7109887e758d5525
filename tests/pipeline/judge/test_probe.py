"""Probes of a judge that classifies by colour, of one that guesses, and of all kinds of data."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import DatasetProblem, NotRegistered, UsageError
from qaclims_path.language.terms import names_of
from qaclims_path.models.judges.frozen import FrozenJudge, Towers
from qaclims_path.pipeline.judge.options import JudgeProbeOptions
from qaclims_path.pipeline.judge.probe import probe_judge
from qaclims_path.types import JudgeCard

CARD = JudgeCard("colours", "1", "toy", 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 4, 99, 0.1)


def colours(name: str, *, blind: bool = False) -> FrozenJudge:
    """A judge that knows every class of a card by its colour: the fake images are painted with it."""
    card = load_card(name)
    palette = torch.tensor([info.color for info in card.classes]) / 255

    def image(pixels: Tensor) -> Tensor:
        share = (pixels.amax(1) > 0).float()[:, None]
        colour = (pixels * share).sum((2, 3)) / share.sum((2, 3)).clamp(min=1)
        distance = (colour[:, None] - palette).norm(dim=2)
        return torch.ones(len(pixels), 4) if blind else torch.exp(-20 * distance) + 1e-6

    def text(tokens: Tensor) -> Tensor:
        return torch.eye(4)[tokens[:, 0]]

    def tokenise(texts: Sequence[str]) -> Tensor:
        named = [names_of(info) for info in card.classes]
        found = [next(i for i, words in enumerate(named) if any(word in said for word in words)) for said in texts]
        return torch.tensor(found)[:, None]

    return FrozenJudge(Towers(CARD, nn.Module(), image, text, tokenise), device="cpu", mode="hard")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_fake(load_card("bcss-wsss"), tmp_path / "fake", images=8)
    return tmp_path / "fake"


def test_regions_of_their_own_colour_are_told_apart(root: Path) -> None:
    report = probe_judge(colours("bcss-wsss"), load_card("bcss-wsss"), root)
    assert report.split == "val"  # the first with masks
    assert report.regions is not None
    assert report.regions.balanced_accuracy == 1
    assert report.regions.auc == (1, 1, 1, 1)
    assert sum(sum(row) for row in report.regions.confusion) == report.regions.count >= 8
    assert report.images.count == 8
    assert report.images.named <= 8


def test_a_split_with_a_missing_mask_is_an_error(root: Path) -> None:
    card = load_card("bcss-wsss")
    next((root / "val" / "mask").glob("*.png")).unlink()
    with pytest.raises(DatasetProblem, match="1 image without a mask"):
        probe_judge(colours("bcss-wsss"), card, root)
    shutil.rmtree(root / "val")
    assert probe_judge(colours("bcss-wsss"), card, root).split == "test"


def test_a_blind_judge_is_no_better_than_chance(root: Path) -> None:
    report = probe_judge(colours("bcss-wsss", blind=True), load_card("bcss-wsss"), root)
    assert report.regions is not None
    assert report.regions.balanced_accuracy == 0.25
    assert report.regions.auc == (0.5, 0.5, 0.5, 0.5)


def test_a_split_of_image_labels_has_no_regions(root: Path) -> None:
    report = probe_judge(colours("bcss-wsss"), load_card("bcss-wsss"), root, JudgeProbeOptions(split="train"))
    assert report.regions is None
    assert report.images.count == 8
    assert all(auc is None or 0 <= auc <= 1 for auc in report.images.auc)


def test_a_limit_chooses_images_with_the_seed(root: Path) -> None:
    card = load_card("bcss-wsss")
    reports = [
        probe_judge(colours("bcss-wsss"), card, root, JudgeProbeOptions(limit=3, seed=seed)) for seed in (5, 5, 6)
    ]
    assert reports[0].images.count == 3
    assert reports[0] == reports[1]


def test_images_that_cannot_be_read_are_skipped_and_named(root: Path) -> None:
    card = load_card("bcss-wsss")
    pictures = sorted((root / "val" / "img").glob("*.png"))
    pictures[0].write_bytes(b"no picture")
    report = probe_judge(colours("bcss-wsss"), card, root)
    assert report.skipped == 1
    assert pictures[0].name in report.unreadable[0]
    assert report.images.count == 7
    for picture in pictures:
        picture.write_bytes(b"no picture")
    with pytest.raises(DatasetProblem, match="No image of 'val'"):
        probe_judge(colours("bcss-wsss"), card, root)


def test_wrong_names_are_refused(root: Path) -> None:
    card = load_card("bcss-wsss")
    with pytest.raises(UsageError, match="has no split 'vall'"):
        probe_judge(colours("bcss-wsss"), card, root, JudgeProbeOptions(split="vall"))
    with pytest.raises(NotRegistered, match="histology"):
        probe_judge(colours("bcss-wsss"), card, root, JudgeProbeOptions(questions="histolgy"))
