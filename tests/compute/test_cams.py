from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qaclims_path.compute.cams import (
    by_own_maximum,
    fold_flip,
    image_probabilities,
    merge_scales,
    merged,
    scaled_size,
    strided_size,
)

PARITY = Path(__file__).parents[1] / "parity" / "multiscale_cam.npz"


@pytest.fixture(scope="module")
def published():
    with np.load(PARITY, allow_pickle=False) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.mark.parametrize(("stride", "name"), [(4, "strided"), (1, "high_res")])
def test_scales_are_merged_as_published(published, stride, name):
    height, width = published["size"].tolist()
    kept = [published[f"scale{index}"][published["keys"]] for index in range(4)]
    maps = by_own_maximum(merge_scales(kept, height, width, stride))
    torch.testing.assert_close(maps, published[name], rtol=0, atol=1e-5)


def slow_merge(logits, present, height, width):
    """The published procedure for one image, word for word: all classes, then those that are present."""
    outputs = [pair.relu()[0] + pair.relu()[1].flip(-1) for pair in logits]
    size = strided_size(height, width)
    summed = torch.sum(
        torch.stack([F.interpolate(each[None], size, mode="bilinear", align_corners=False)[0] for each in outputs]), 0
    )
    kept = summed[present]
    return kept / (F.adaptive_max_pool2d(kept, (1, 1)) + 1e-5)


def test_batches_are_merged_like_single_images():
    generator = torch.Generator().manual_seed(0)
    sizes = [(7, 9), (4, 5), (11, 13), (14, 18)]
    logits = [torch.randn(6, 4, *size, generator=generator) for size in sizes]
    present = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
    fast = merged(logits, present.nonzero(as_tuple=True), (112, 140), own_maximum=True)
    slow = [slow_merge([scale[[image, image + 3]] for scale in logits], present[image], 112, 140) for image in range(3)]
    torch.testing.assert_close(fast, torch.cat(slow), rtol=0, atol=1e-6)
    assert fast.shape == (5, 28, 35)


def test_probabilities_are_means_over_views():
    logits = [torch.randn(2, 3, 5, 5) for _ in range(2)]
    maps = merged(logits, torch.ones(1, 3).nonzero(as_tuple=True), (20, 20), own_maximum=False)
    views = [view.sigmoid() for scale in logits for view in (scale[0], scale[1].flip(-1))]
    expected = torch.stack([F.interpolate(view[None], (5, 5), mode="bilinear")[0] for view in views]).mean(0)
    torch.testing.assert_close(maps, expected)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_half_precision_logits_are_merged_in_full():
    logits = [torch.randn(2, 2, 4, 4)]
    pairs = (torch.tensor([0]), torch.tensor([1]))
    full = merged([logits[0].bfloat16().float()], pairs, (16, 16), own_maximum=True)
    assert torch.equal(merged([logits[0].bfloat16()], pairs, (16, 16), own_maximum=True), full)


def test_no_present_class_gives_no_maps():
    nowhere = torch.zeros(0, dtype=torch.long)
    assert merged([torch.randn(2, 3, 4, 4)], (nowhere, nowhere), (16, 20), own_maximum=True).shape == (0, 4, 5)


def test_mirrored_maps_are_mirrored_back():
    maps = torch.tensor([[[[1.0, 0.0, 0.0]]], [[[0.0, 0.0, 2.0]]]])
    assert fold_flip(maps).tolist() == [[[[3.0, 0.0, 0.0]]]]


def test_probabilities_of_images_are_those_of_a_pooled_classifier():
    logits = torch.randn(4, 3, 5, 6)
    expected = ((logits[:2].mean((2, 3)) + logits[2:].mean((2, 3))) / 2).sigmoid()
    torch.testing.assert_close(image_probabilities(logits), expected)


def test_an_empty_map_stays_empty():
    assert by_own_maximum(torch.zeros(1, 3, 3)).max() == 0


def test_sizes_round_as_published():
    assert scaled_size(375, 501, 0.5) == (round(187.5), round(250.5)) == (188, 250)
    assert scaled_size(1, 1, 0.5) == (1, 1)
    assert strided_size(1, 4) == (1, 1)
    assert strided_size(224, 225, 4) == (56, 57)
