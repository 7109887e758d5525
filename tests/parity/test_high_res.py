"""Maps at full size and the labels made of them against those of CLIMS (`high_res.npz`)."""

import numpy as np
import pytest
import torch

from qaclims_path.compute.cams import by_own_maximum, high_resolution, merge_scales
from qaclims_path.data.finest import finest
from qaclims_path.files.maps import ImageMaps
from qaclims_path.models.refiners import RefineSettings, build_refiner

TOLERANCE = 1e-4
SCORING, WALK, FOREGROUND, BACKGROUND = range(4)  # positions in `thresholds`
PICTURES = pytest.mark.parametrize("picture", ["a", "b", "c"])


@pytest.fixture(scope="module")
def released(arrays):
    return arrays("high_res")


@pytest.fixture
def stored(released, picture):
    """The maps of a picture as a file holds them."""
    size = tuple(released[f"{picture}_size"].tolist())
    classes = tuple(released[f"{picture}_classes"].tolist())
    scales = tuple(released[f"{picture}_raw_{number}"].astype(np.float16) for number in range(4))
    return ImageMaps(picture, classes, size, released[f"{picture}_stride4"].astype(np.float16), scales=scales)


def label_of(numbers, stored):
    """Labels counted from 1, 0 is background, of the numbers of maps."""
    return np.array([*(label + 1 for label in stored.classes), 0, *[0] * (255 - len(stored.classes) - 1), 255])[numbers]


def refined(name, stored, maps, released, **settings):
    picture = released.get(f"{stored.image}_confident_image", np.zeros((*stored.size, 3), np.uint8))
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    maps = torch.from_numpy(maps.astype(np.float32))[None]
    found = build_refiner(name, RefineSettings(**settings))(pixels, maps, torch.ones(maps.shape[:2], dtype=torch.bool))
    return label_of(np.where(found.doubt[0].numpy(), 255, found.labels[0].numpy()), stored)


@PICTURES
def test_maps_are_merged_at_both_sizes_as_released(picture, released, rule):
    size = released[f"{picture}_size"].tolist()
    raw = [torch.from_numpy(released[f"{picture}_raw_{number}"]) for number in range(4)]
    assert rule.relative(high_resolution(raw, *size), released[f"{picture}_high_res"]) < TOLERANCE
    assert rule.relative(by_own_maximum(merge_scales(raw, *size)), released[f"{picture}_stride4"]) < TOLERANCE


@PICTURES
def test_scored_labels_are_as_released(picture, stored, released):
    threshold = float(released["thresholds"][SCORING])
    found = refined("none", stored, finest(stored), released, threshold=threshold)
    assert np.mean(found == released[f"{picture}_label"]) >= 0.999
    without = refined("none", stored, stored.maps, released, threshold=threshold)
    assert np.mean(without == released[f"{picture}_label_from_stride4"]) >= 0.999


@PICTURES
def test_confident_labels_are_as_released(picture, stored, released):
    low, high = float(released["thresholds"][BACKGROUND]), float(released["thresholds"][FOREGROUND])
    found = refined("crf", stored, finest(stored), released, threshold=high, band=(low, high))
    assert np.mean(found == released[f"{picture}_confident_label"]) >= 0.99


@PICTURES
def test_labels_after_the_walk_are_as_released(picture, stored, released):
    edge = torch.from_numpy(released[f"{picture}_walk_edge"])
    threshold = float(released["thresholds"][WALK])
    found = refined("irn", stored, stored.maps, released, threshold=threshold, edges=lambda _: edge[None])
    assert np.mean(found == released[f"{picture}_walk_label"]) >= 0.999
