"""Ranking numbers against scikit-learn and by hand."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from qaclims_path.compute.ranking import balanced_accuracy, named_confusion, roc_auc


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_auc_is_that_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], float)
    positive = np.array([truth for _, truth in pairs])
    ours = roc_auc(scores, positive)
    if positive.all() or not positive.any():
        assert math.isnan(ours)
    else:
        assert abs(ours - roc_auc_score(positive, scores)) < 1e-12


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.integers(0, 1000))
def test_balanced_accuracy_is_the_mean_recall(truth: list[int], seed: int) -> None:
    scores = np.random.default_rng(seed).random((len(truth), 4))
    named = [max(range(4), key=lambda c: row[c]) for row in scores]
    recalls = []
    for c in sorted(set(truth)):
        own = [n for t, n in zip(truth, named, strict=True) if t == c]
        recalls.append(own.count(c) / len(own))
    confusion = named_confusion(scores, np.array(truth))
    assert abs(balanced_accuracy(confusion) - sum(recalls) / len(recalls)) < 1e-12
    assert confusion.sum() == len(truth)


def test_no_samples_give_nan() -> None:
    assert named_confusion(np.zeros((0, 3)), np.zeros(0, int)).tolist() == [[0] * 3] * 3
    assert math.isnan(balanced_accuracy(np.zeros((3, 3), int)))
