"""The confusion matrix against plain loops, scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import confusion_matrix as sklearn_matrix
from torchmetrics.functional.classification import multiclass_confusion_matrix

from qaclims_path.compute.confusion import NO_CLASS, Confusion, confusion_matrix


def slow_matrix(truth, prediction, classes):
    """One pixel after the other."""
    matrix = np.zeros((classes + 1, classes + 2), np.int64)
    for true, guess in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if true <= classes:
            matrix[true, guess if guess <= classes else classes + 1] += 1
    return matrix


@st.composite
def label_pairs(draw):
    classes = draw(st.integers(1, 12))
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
    values = st.one_of(st.integers(0, classes + 2), st.sampled_from([254, 255]))
    return draw(arrays(np.uint8, shape, elements=values)), draw(arrays(np.uint8, shape, elements=values)), classes


@given(label_pairs())
@settings(max_examples=80)
def test_the_fast_matrix_equals_a_loop_over_pixels(pair):
    truth, prediction, classes = pair
    assert np.array_equal(confusion_matrix(truth, prediction, classes), slow_matrix(truth, prediction, classes))


@pytest.mark.parametrize("classes", [1, 4, 20, 80, 250])
def test_agrees_with_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes + 1, (60, 61), dtype=np.uint8)
    prediction = rng.integers(0, classes + 2, (60, 61), dtype=np.uint8)
    theirs = sklearn_matrix(truth.ravel(), prediction.ravel(), labels=range(classes + 2))
    assert np.array_equal(confusion_matrix(truth, prediction, classes), theirs[:-1])


def test_agrees_with_torchmetrics_where_pixels_are_ignored():
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 3, 255], (4, 50, 50)).astype(np.uint8)
    prediction = rng.integers(0, 4, (4, 50, 50), dtype=np.uint8)
    theirs = multiclass_confusion_matrix(
        torch.from_numpy(prediction).long(), torch.from_numpy(truth).long(), num_classes=4, ignore_index=255
    )
    ours = confusion_matrix(truth, prediction, 3)
    assert np.array_equal(ours[:, :-1], theirs.numpy())
    assert not ours[:, -1].any()


def test_parts_add_up_to_the_total_in_any_order():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 7, (2, 9, 31, 17), dtype=np.uint8)
    whole, pieces = Confusion(5), Confusion(5)
    own = whole.add(truth, prediction)
    for i in rng.permutation(len(truth)):
        pieces.add(truth[i], prediction[i])
    assert np.array_equal(own, whole.matrix)
    assert np.array_equal(pieces.matrix, whole.matrix)


def test_views_are_counted_like_copies():
    truth, prediction = np.random.default_rng(0).integers(0, 4, (2, 40, 40), dtype=np.uint8)
    views = confusion_matrix(truth[::2, ::-3], prediction[::2, ::-3], 3)
    assert np.array_equal(views, slow_matrix(truth[::2, ::-3], prediction[::2, ::-3], 3))


def test_no_pixels_give_a_matrix_of_zeros():
    assert Confusion(3).matrix.tolist() == [[0] * 5] * 4
    empty = np.zeros((0, 5), np.uint8)
    assert not confusion_matrix(empty, empty, 3).any()


def test_no_class_is_an_error_of_the_true_class():
    truth = np.array([0, 1, 255], np.uint8)
    assert confusion_matrix(truth, np.full(3, NO_CLASS, np.uint8), 1).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_different_shapes_and_wrong_types_are_refused():
    labels = np.zeros((3, 3), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(labels, labels[:2], 3)
    with pytest.raises(ValueError, match="uint8"):
        confusion_matrix(labels, labels.astype(np.int64), 3)
