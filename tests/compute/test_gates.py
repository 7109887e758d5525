"""Gates and label maps against `argmax` over stacked channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qaclims_path.compute.confusion import NO_CLASS
from qaclims_path.compute.gates import allowed_classes, best_class, gated, label_map

SCORES = arrays(np.float32, (4, 5, 6), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32))


def argmax_with_background(maps, labels, background_score, background):
    """As the published code does it: a background channel first, then `argmax`."""
    channels = np.concatenate([np.broadcast_to(background_score, maps[:1].shape).astype(np.float32), maps])
    return np.array([background, *labels], np.uint8)[np.argmax(channels, axis=0)]


@given(SCORES, st.floats(0, 1, width=32))
def test_threshold_equals_argmax_with_a_constant_channel_first(maps, threshold):
    labels = [0, 2, 3, 5]
    fast = label_map(maps, labels, 6, predict_background=True, map_threshold=threshold)
    assert np.array_equal(fast, argmax_with_background(maps, labels, np.float32(threshold), 6))


@given(SCORES, st.sampled_from([1.0, 2.0, 10.0]))
def test_power_equals_argmax_with_the_power_channel_first(maps, power):
    labels = [0, 1, 2, 3]
    fast = label_map(maps, labels, 4, predict_background=True, background_power=power)
    score = (1 - maps.max(axis=0, keepdims=True)) ** np.float32(power)
    assert np.array_equal(fast, argmax_with_background(maps, labels, score, 4))


@given(SCORES)
def test_an_own_background_channel_takes_part_and_wins_ties(maps):
    fast = label_map(maps, [0, 1, 2, 3], 3, predict_background=False, map_threshold=0.9)
    assert np.array_equal(fast, argmax_with_background(maps[:3], [0, 1, 2], maps[3:], 3))


@given(SCORES)
def test_without_background_it_is_argmax(maps):
    best, label = best_class(maps, [3, 2, 1, 0])
    assert np.array_equal(label, 3 - np.argmax(maps, axis=0))
    assert np.array_equal(best, maps.max(axis=0))
    assert np.array_equal(label_map(maps, [3, 2, 1, 0], 4, predict_background=False), label)


def test_large_maps_cross_the_blocks_of_the_loop():
    maps = np.random.default_rng(0).random((3, 130, 131), np.float32)
    assert np.array_equal(best_class(maps, [0, 1, 2])[1], np.argmax(maps, axis=0))


def test_a_gate_removes_forbidden_classes():
    maps = np.array([0.9, 0.5, 0.7], np.float32).reshape(3, 1, 1)
    scores, labels = gated(maps, [0, 1, 2], np.array([False, True, False]))
    assert label_map(scores, labels, 3, predict_background=False).tolist() == [[1]]


def test_a_gate_never_forbids_background():
    maps = np.array([0.9, 0.1], np.float32).reshape(2, 1, 1)
    scores, labels = gated(maps, [0, 1], np.array([False]))
    assert label_map(scores, labels, 1, predict_background=False).tolist() == [[1]]


@pytest.mark.parametrize(("predict_background", "expected"), [(False, NO_CLASS), (True, 3)])
@pytest.mark.parametrize("power", [None, 10.0])
def test_a_gate_that_allows_no_class(predict_background, expected, power):
    scores, labels = gated(np.ones((3, 2, 2), np.float32), [0, 1, 2], np.zeros(3, bool))
    found = label_map(scores, labels, 3, predict_background=predict_background, background_power=power)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("probabilities", "threshold", "keep", "expected"),
    [
        ([0.2, 0.8, 0.5], 0.5, False, [False, True, False]),  # above, not equal
        ([0.2, 0.8, 0.5], 0.1, False, [True, True, True]),
        ([0.2, 0.3, 0.1], 0.5, False, [False, False, False]),
        ([0.2, 0.3, 0.1], 0.5, True, [False, True, False]),
        ([0.3, 0.3, 0.1], 0.5, True, [True, False, False]),  # the first of equals
    ],
)
def test_probabilities_become_a_gate(probabilities, threshold, keep, expected):
    assert allowed_classes(np.array(probabilities), threshold, keep_highest=keep).tolist() == expected
