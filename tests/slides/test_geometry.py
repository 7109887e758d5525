"""Levels and regions to read, and their resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qaclims_path.slides.geometry import best_level, locate, on_background, resample
from qaclims_path.types import Level

LEVELS = (Level(1600, 1600, 1.0), Level(400, 400, 4.0), Level(100, 100, 16.0))


@given(step=st.floats(1.02, 7.5), x0=st.integers(-40, 300), y0=st.floats(-40, 300))
def test_resampling_moves_no_pixel(step, x0, y0):
    """Every resampled pixel of a ramp has the colour at its own centre."""
    ramp = np.zeros((600, 600, 3), np.uint8)
    ramp[..., 0] = (np.arange(600) * 0.4)[None]
    ramp[..., 1] = (np.arange(600) * 0.4)[:, None]
    region = locate((Level(600, 600, 1.0),), x0, y0, (24, 20), (step, step))
    rows = np.clip(np.arange(region.y, region.y + region.height), 0, 599)
    columns = np.clip(np.arange(region.x, region.x + region.width), 0, 599)
    found = resample(ramp[rows][:, columns], region.box, (24, 20)).astype(float)
    for axis, start, count in ((0, x0, 24), (1, y0, 20)):
        centres = start + (np.arange(count) + 0.5) * step - 0.5
        line = found[10, :, 0] if axis == 0 else found[:, 10, 1]
        inner = (centres > 2 * step) & (centres < 597 - 2 * step)
        assert np.abs(line - centres * 0.4 + 0.3)[inner].max(initial=0) < 1.0


@pytest.mark.parametrize(("step", "level"), [(0.5, 0), (1, 0), (3.9, 0), (3.97, 1), (4, 1), (15, 1), (16, 2), (90, 2)])
def test_the_coarsest_level_that_is_fine_enough_is_chosen(step, level):
    assert best_level(LEVELS, (step, step)) == level
    assert best_level(LEVELS, (step, step * 3)) == level


def test_transparent_pixels_take_the_background():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = 10, 20, 30, 255
    rgba[1, 1] = 100, 100, 100, 51
    found = on_background(Image.fromarray(rgba), (240, 250, 200))
    assert found.tolist() == [[[10, 20, 30], [240, 250, 200]], [[240, 250, 200], [212, 220, 180]]]
