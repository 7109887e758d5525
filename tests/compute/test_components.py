"""Small areas and holes, against labelling every pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from qaclims_path.compute.components import drop_specks, fill_holes


def areas(mask: np.ndarray, structure: np.ndarray | None) -> np.ndarray:
    labels, _ = ndimage.label(mask, structure)
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    return counts[labels]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 30))
def test_equal_to_labelling(seed, height, width, share, pixels):
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (drop_specks(mask, pixels) == (areas(mask, np.ones((3, 3))) >= max(pixels, 1))).all()
    assert (fill_holes(mask, pixels) == ~(areas(~mask, None) >= max(pixels, 1))).all()


def test_the_input_is_not_changed():
    mask = np.eye(5, dtype=bool)
    drop_specks(mask, 100)
    assert mask.sum() == 5


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_empty_masks_stay_empty(shape):
    assert drop_specks(np.zeros(shape, bool), 5).shape == shape


def test_a_spiral_is_one_area():
    mask = np.ones((41, 41), bool)
    for i in range(0, 20, 2):
        mask[i + 1 : 40 - i, i + 1] = mask[i + 1, i + 1 : 40 - i] = False
        mask[39 - i, i + 1 : 40 - i] = mask[i + 3 : 40 - i, 39 - i] = False
    assert (drop_specks(mask, 300) == (areas(mask, np.ones((3, 3))) >= 300)).all()
