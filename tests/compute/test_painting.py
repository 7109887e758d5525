"""Painted classes leave the tissue visible, and what is unsure is covered."""

import numpy as np
import pytest

from qaclims_path.compute.colours import SAFE
from qaclims_path.compute.painting import DOUBT, doubtful, outline_colors, painted, painted_maps
from qaclims_path.data.phantoms.slide import paint_slide

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[: len(SAFE)] = SAFE


def squares():
    labels = np.full((60, 90), 255, np.uint8)
    for index in range(6):
        labels[10:50, 4 + 14 * index : 16 + 14 * index] = index
    return labels


def test_outlines_have_the_colours_of_their_classes_and_hidden_pixels_stay():
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    labels = squares()
    drawn = painted(picture, labels, PALETTE, [255], width=2)
    assert np.array_equal(drawn[labels == 255], picture[labels == 255])
    for index in range(6):
        assert (drawn[10:12, 4 + 14 * index : 16 + 14 * index] == SAFE[index]).all()


@pytest.mark.parametrize("color", SAFE)
def test_nuclei_stay_visible_under_every_colour(color):
    picture = paint_slide(3, (128, 128))[0]
    palette = np.zeros((256, 3), np.uint8)
    palette[0] = color
    drawn = painted(picture, np.zeros((128, 128), np.uint8), palette)
    assert (drawn[0] == color).all(), "a picture of one class has its colour around it"
    picture, drawn = picture[2:-2, 2:-2], drawn[2:-2, 2:-2]
    before, after = (pixels.mean(axis=-1) for pixels in (picture.astype(float), drawn.astype(float)))
    assert after.std() > 0.75 * before.std()
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


def test_outlines_of_every_colour_are_visible_on_glass_and_in_shadow():
    found = outline_colors(np.array([[255, 255, 255], [250, 250, 200], [0, 0, 0], [60, 0, 0]], np.uint8)).sum(-1)
    assert (found[:2] < 600).all()
    assert (found[2:] > 150).all()


def test_what_is_sure_is_grey_and_what_is_guessed_is_covered():
    picture = np.full((2, 3, 3), (200, 120, 160), np.uint8)
    confidence = np.array([[1.0, 0.625, 0.25]] * 2, np.float32)
    sure, half, guessed = doubtful(picture, confidence, classes=4)[0].astype(int)
    assert sure.tolist() == [160, 160, 160]
    assert np.abs(guessed - (0.2 * 160 + 0.8 * np.array(DOUBT))).max() <= 1
    assert np.abs(half - (sure + guessed) / 2).max() <= 1
    assert np.isfinite(doubtful(picture, confidence, classes=1)).all()


def test_maps_cover_more_where_they_are_higher():
    picture = np.full((1, 3, 3), 100, np.uint8)
    maps = np.array([[[0.0, 0.5, 1.0]], [[0.0, 0.2, 0.1]]], np.float32)
    red = painted_maps(picture, maps, [0, 1], PALETTE)[0, :, 0].astype(int)
    assert red[0] == 100 < red[1] < red[2]
