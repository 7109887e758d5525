"""The one-pass sweep against scoring every threshold on its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qaclims_path.compute.confusion import confusion_matrix
from qaclims_path.compute.sweep import DEFAULT_THRESHOLDS, Sweep

NUMBERS = st.sampled_from([0.0, 0.1, 0.2, 0.30000001192092896, 0.5, 1.0]) | st.floats(0, 1, width=32)


def score_each(images, classes, thresholds):
    """A background channel of the threshold first, `argmax`, a matrix; and that for every threshold."""
    matrices = []
    for threshold in thresholds:
        matrix = np.zeros((classes + 1, classes + 2), np.int64)
        for maps, labels, truth in images:
            padded = np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=np.float32(threshold))
            guess = np.array([classes, *labels], np.uint8)[np.argmax(padded, axis=0)]
            matrix += confusion_matrix(truth, guess, classes)
        matrices.append(matrix)
    return np.array(matrices)


@st.composite
def image_of(draw, classes):
    labels = draw(st.lists(st.integers(0, classes - 1), unique=True, max_size=classes))
    maps = draw(arrays(np.float32, (len(labels), 4, 5), elements=NUMBERS))
    truth = draw(arrays(np.uint8, (4, 5), elements=st.sampled_from([*range(classes + 1), 255])))
    return maps, labels, truth


@given(
    st.lists(image_of(4), max_size=4),
    st.lists(NUMBERS, min_size=1, max_size=8).map(sorted),
)
@settings(max_examples=80)
def test_one_pass_equals_scoring_each_threshold(images, thresholds):
    sweep = Sweep(4, thresholds)
    for image in images:
        sweep.add(*image)
    assert np.array_equal(sweep.matrices(), score_each(images, 4, thresholds))


def test_default_thresholds_on_many_pixels():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(3):
        labels = sorted(rng.choice(20, 3, replace=False).tolist())
        # half of the scores lie exactly on a threshold
        maps = np.where(rng.random((3, 50, 40)) < 0.5, rng.integers(0, 101, (3, 50, 40)) / 100, rng.random((3, 50, 40)))
        images.append((maps.astype(np.float32), labels, rng.integers(0, 22, (50, 40), dtype=np.uint8)))
    sweep = Sweep(20)
    for image in images:
        sweep.add(*image)
    assert np.array_equal(sweep.matrices(), score_each(images, 20, DEFAULT_THRESHOLDS))


def test_no_images():
    assert not Sweep(2, [0.5]).matrices().any()


def test_thresholds_and_shapes_are_checked():
    for wrong in ([], [0.5, 0.1]):
        with pytest.raises(ValueError, match="sorted"):
            Sweep(2, wrong)
    with pytest.raises(ValueError, match="shape"):
        Sweep(1).add(np.zeros((1, 2, 2), np.float32), [0], np.zeros((2, 3), np.uint8))
