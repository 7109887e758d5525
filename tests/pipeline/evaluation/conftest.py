"""Predictions for a split of a made-up BCSS-WSSS: label maps and class scores, in memory and as files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qaclims_path.compute.confusion import confusion_matrix
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import truth_of
from qaclims_path.files.images import write_mask
from qaclims_path.files.scores import write_scores

CARD = load_card("bcss-wsss")
Labels = dict[str, NDArray[np.uint8]]


def noisy(truth: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Replace three labels in ten by random ones."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth).astype(np.uint8)


@pytest.fixture(scope="module")
def truths(bcss: Path) -> Labels:
    """The true labels by the name of the image."""
    return {record.id: truth_of(CARD, record) for record in list_records(CARD, bcss, "val")}


@pytest.fixture
def guesses(truths: Labels) -> Labels:
    """Predicted labels by the name of the image."""
    return {image: noisy(truth, seed) for seed, (image, truth) in enumerate(truths.items())}


@pytest.fixture
def masks(tmp_path: Path, guesses: Labels) -> Path:
    """A folder of the predicted labels as PNG with a palette."""
    folder = tmp_path / "masks"
    for image, labels in guesses.items():
        write_mask(folder / f"{image}.png", CARD.encode(labels), CARD.code_palette)
    return folder


@pytest.fixture
def maps(truths: Labels) -> dict[str, NDArray[np.float32]]:
    """Random class scores (4 H W) by the name of the image."""
    rng = np.random.default_rng(0)
    return {image: rng.random((4, *truth.shape), np.float32) for image, truth in truths.items()}


@pytest.fixture
def scored(tmp_path: Path, maps: dict[str, NDArray[np.float32]]) -> Path:
    """A folder of the class scores."""
    folder = tmp_path / "cams"
    for image, scores in maps.items():
        write_scores(folder / f"{image}.npz", scores, CARD.names)
    return folder


@pytest.fixture
def matrix_of(truths: Labels) -> Callable[[Labels], NDArray[np.int64]]:
    """Count the confusion matrix of all images with a slow loop over them."""

    def count(labels: Labels) -> NDArray[np.int64]:
        return sum(confusion_matrix(truth, labels[image], 4) for image, truth in truths.items())

    return count
