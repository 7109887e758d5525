"""The border of a mask, against a slow definition and against morphology."""

import numpy as np
import pytest
from skimage.morphology import diamond, erosion

from qaclims_path.compute.border import border


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
