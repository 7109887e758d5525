"""Colours of new cards are told apart by readers without red or green cones."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import rgb2lab

from qaclims_path.compute.colours import SAFE, color_of

# Machado, Oliveira and Fernandes (2009), severity 1, on linear light
SEEN_BY = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
EOSIN = (226, 178, 203)


def seen(colors, reader):
    values = np.asarray(colors) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    shown = np.clip(linear @ np.array(SEEN_BY[reader]).T, 0, 1)
    return rgb2lab(np.where(shown <= 0.0031308, shown * 12.92, 1.055 * shown ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("reader", SEEN_BY)
def test_the_first_six_colours_are_told_apart(reader):
    for one, other in combinations(seen(SAFE[:6], reader), 2):
        assert np.linalg.norm(one - other) > 15


def test_the_colour_of_the_stain_comes_last():
    apart = np.linalg.norm(rgb2lab(np.asarray(SAFE) / 255) - rgb2lab(np.asarray(EOSIN) / 255), axis=-1)
    assert apart.argmin() == len(SAFE) - 1


def test_no_two_of_many_classes_have_the_same_colour():
    assert len({color_of(index) for index in range(60)}) == 60
