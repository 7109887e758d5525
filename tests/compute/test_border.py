"""The border of a mask, against a slow definition and against morphology."""

import numpy as np
import pytest
from skimage.morphology import diamond, erosion

from qaclims_path.compute.border import border, borders


def slow_border(mask, width):
    out = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        for v, u in np.argwhere(~mask):
            out[y, x] |= abs(v - y) + abs(u - x) <= width
    return out


@pytest.mark.parametrize("width", [1, 2, 3])
def test_border_equals_the_slow_one_and_erosion(width):
    mask = np.random.default_rng(width).random((12, 15)) < 0.8
    found = border(mask, width)
    assert np.array_equal(found, slow_border(mask, width))
    assert np.array_equal(found, mask & ~erosion(mask, diamond(width), mode="max"))


def test_a_mask_that_fills_the_image_has_no_border():
    assert not border(np.ones((9, 9), bool), 2).any()


def slow_borders(labels, width):
    out = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(labels.shape):
        for v, u in np.argwhere(labels != labels[y, x]):
            out[y, x] |= abs(v - y) + abs(u - x) <= width
    return out


@pytest.mark.parametrize("width", [0, 1, 2, 3])
def test_borders_of_several_classes_equal_the_slow_ones(width):
    labels = np.repeat(np.random.default_rng(width).integers(0, 3, (4, 5)), 4, 0).repeat(3, 1).astype(np.uint8)
    assert np.array_equal(borders(labels, width), slow_borders(labels, width))
