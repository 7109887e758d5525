"""Bilinear resizing against torch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from qaclims_path.compute.resize import resize_bilinear


@pytest.mark.parametrize(
    ("old", "new"),
    [((7, 9), (28, 36)), ((14, 14), (224, 224)), ((24, 32), (375, 500)), ((9, 8), (4, 3)), ((1, 1), (5, 6))],
)
def test_equals_torch_without_aligned_corners(old, new):
    scores = np.random.default_rng(0).random((3, *old), np.float32)
    theirs = interpolate(torch.from_numpy(scores)[None], size=new, mode="bilinear", align_corners=False)[0]
    ours = resize_bilinear(scores, *new)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs.numpy()).max() < 1e-5  # torch places its samples in float32


def test_no_channels_and_same_size():
    assert resize_bilinear(np.zeros((0, 3, 4), np.float32), 6, 8).shape == (0, 6, 8)
    scores = np.random.default_rng(0).random((2, 3, 4), np.float32)
    assert resize_bilinear(scores, 3, 4) is scores
