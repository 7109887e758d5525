"""Boundary IoU for all classes at once against repeated 3 x 3 erosion, class by class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion

from qaclims_path.compute.boundary import BoundaryIoU, band, band_width
from qaclims_path.compute.scores import iou_of


def slow_band(mask, ignored, width):
    """The mask without what is left after eroding it `width` times; ignored pixels erode nothing."""
    core = mask | ignored
    for _ in range(width):
        core = binary_erosion(core, np.ones((3, 3)), border_value=0)
    return mask & ~core


def slow_counts(truth, guess, classes, share, ignored):
    width = max(1, round(share * np.hypot(*truth.shape)))
    counts = []
    for label in range(classes + 1):
        true_band = slow_band((truth == label) & ~ignored, ignored, width)
        guess_band = slow_band((guess == label) & ~ignored, ignored, width)
        counts.append([(true_band & guess_band).sum(), true_band.sum(), guess_band.sum()])
    return np.array(counts)


def blocks(rng, shape, values):
    coarse = rng.choice(values, (shape[0] // 4 + 1, shape[1] // 4 + 1)).astype(np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)[: shape[0], : shape[1]]


@pytest.mark.parametrize("background", ["ignore", "score", "penalise"])
@given(
    st.integers(0, 2**31),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([0.01, 0.02, 0.05, 0.2]),
)
@settings(max_examples=40)
def test_all_classes_at_once_equal_erosion_class_by_class(background, seed, shape, share):
    rng = np.random.default_rng(seed)
    truth, guess = blocks(rng, shape, [0, 1, 2]), blocks(rng, shape, [0, 1, 2, 255])
    boundary = BoundaryIoU(2, share, background)
    boundary.add(truth, guess)
    ignored = truth == 2 if background == "ignore" else np.zeros(shape, bool)
    slow = slow_counts(truth, guess, 2, share, ignored)
    scored = 3 if background == "score" else 2
    assert np.array_equal(boundary.scored(), slow[:scored])


@given(arrays(np.uint8, (12, 15), elements=st.sampled_from([0, 1, 255])), st.integers(1, 4))
def test_ignored_pixels_make_no_contour(labels, width):
    valid = labels != 255
    fast = band(labels, valid, width)
    for label in (0, 1):
        # not of the class is a pixel of the other class within `width`, or the border of the picture
        other = np.pad(valid & (labels != label), width, constant_values=True)
        windows = np.lib.stride_tricks.sliding_window_view(other, (2 * width + 1, 2 * width + 1))
        assert np.array_equal(fast & (labels == label), windows.any(axis=(2, 3)) & (labels == label))


def test_predictions_at_ignored_pixels_change_nothing():
    rng = np.random.default_rng(0)
    truth = blocks(rng, (40, 40), [0, 1, 255])
    guess = blocks(rng, (40, 40), [0, 1])
    other = np.where(truth == 255, rng.integers(0, 2, truth.shape), guess).astype(np.uint8)
    one, two = BoundaryIoU(1, 0.05, "score"), BoundaryIoU(1, 0.05, "score")
    one.add(truth, guess)
    two.add(truth, other)
    assert np.array_equal(one.counts, two.counts)


def test_truth_scores_one_and_a_shift_costs_more_than_in_plain_iou():
    truth = np.zeros((100, 100), np.uint8)
    truth[20:80, 20:80] = 1
    same, moved = BoundaryIoU(1, 0.02, "score"), BoundaryIoU(1, 0.02, "score")
    same.add(truth, truth)
    moved.add(truth, np.roll(truth, 3, axis=1))
    assert iou_of(same.scored()).tolist() == [1, 1]
    assert iou_of(moved.scored())[1] < 57 / 63


def test_a_split_is_the_sum_of_its_images():
    rng = np.random.default_rng(1)
    images = [(blocks(rng, (30, 20), [0, 1, 2]), blocks(rng, (30, 20), [0, 1, 2])) for _ in range(3)]
    together, parts = BoundaryIoU(2, 0.03, "score"), []
    for truth, guess in images:
        together.add(truth, guess)
        alone = BoundaryIoU(2, 0.03, "score")
        alone.add(truth, guess)
        parts.append(alone.counts)
    assert np.array_equal(together.counts, sum(parts))


def test_width_is_a_share_of_the_diagonal_and_at_least_one():
    assert [band_width(300, 400, 0.02), band_width(224, 224, 0.02), band_width(5, 5, 0.001)] == [10, 6, 1]
