"""Scores against scikit-learn, torchmetrics and nine pixels scored by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from qaclims_path.compute.confusion import Confusion, confusion_matrix
from qaclims_path.compute.scores import class_counts, foreground_counts, iou_of, mean_of, score
from qaclims_path.data.protocol import load_protocol

MODES = ("ignore", "score", "penalise")

# Two tissues A = 0 and B = 1, white W = 2 (background).
TRUTH = np.array([[0, 0, 1], [0, 2, 1], [2, 2, 1]], np.uint8)
GUESS = np.array([[0, 1, 1], [0, 0, 1], [2, 1, 0]], np.uint8)


def scores_of(truth, guess, classes, background, mean_over=()):
    return score(confusion_matrix(truth, guess, classes), background, mean_over)


# By hand. A: truth 3, right 2. B: truth 3, right 2. Predicted on tissue: A 3 (one on B), B 3 (one on A).
# Predicted on white: A once, B once, white once.
@pytest.mark.parametrize(
    ("protocol", "iou_a", "iou_b", "white", "accuracy"),
    [
        ("mlps", 2 / 4, 2 / 4, None, 4 / 6),  # white is left out: 2 / (3 + 3 - 2)
        ("pbip", 2 / 5, 2 / 5, None, 5 / 9),  # white is a false positive: 2 / (3 + 4 - 2)
        ("tpro", 2 / 5, 2 / 5, None, 5 / 9),
        ("glas", 2 / 5, 2 / 5, 1 / 3, 5 / 9),  # white is a class
    ],
)
def test_nine_pixels_by_hand(protocol, iou_a, iou_b, white, accuracy):
    found = scores_of(TRUTH, GUESS, 2, load_protocol(protocol).background)
    expected = [iou_a, iou_b] if white is None else [iou_a, iou_b, white]
    assert found.iou == pytest.approx(expected)
    assert found.dice == pytest.approx([2 * iou / (1 + iou) for iou in expected])
    assert found.miou == pytest.approx(np.mean(expected))
    assert found.mean_dice == pytest.approx(np.mean(found.dice))
    assert found.support.tolist() == [3] * len(expected)
    assert found.fwiou == pytest.approx(np.mean(expected))  # all supports are equal here
    assert found.pixel_accuracy == pytest.approx(accuracy)


def test_white_predicted_as_tissue_lowers_scores_and_white_predicted_as_white_does_not():
    right, wrong = np.array([2, 0], np.uint8), np.array([0, 0], np.uint8)
    truth = np.array([2, 0], np.uint8)
    assert scores_of(truth, right, 2, "penalise").iou[0] == 1
    assert scores_of(truth, wrong, 2, "penalise").iou[0] == 0.5
    assert scores_of(truth, wrong, 2, "ignore").iou[0] == 1


def test_foreground_against_background_by_hand():
    counts = foreground_counts(confusion_matrix(TRUTH, GUESS, 2))
    # tissue 6, all predicted as some tissue; white 3, once right and twice predicted as tissue
    assert counts.tolist() == [[6, 6, 8], [1, 3, 1]]
    assert iou_of(counts) == pytest.approx([6 / 8, 1 / 3])


def test_no_class_is_neither_foreground_nor_background():
    truth, guess = np.array([0, 1], np.uint8), np.array([255, 255], np.uint8)
    assert foreground_counts(confusion_matrix(truth, guess, 1)).tolist() == [[0, 1, 0], [0, 1, 0]]


@given(
    arrays(np.uint8, (2, 6, 7), elements=st.integers(0, 4)),
    st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_agrees_with_scikit_learn(labels, seed):
    truth, guess = labels
    truth = np.where(np.random.default_rng(seed).random(truth.shape) < 0.2, np.uint8(255), truth)
    kept = truth != 255
    found = scores_of(truth, guess, 4, "score")
    for i in range(5):
        truth_i, guess_i = truth[kept] == i, guess[kept] == i
        if not (truth_i.any() or guess_i.any()):
            assert found.absent[i]
            assert np.isnan([found.iou[i], found.dice[i], found.precision[i], found.recall[i]]).all()
            continue
        assert found.iou[i] == pytest.approx(jaccard_score(truth_i, guess_i))
        assert found.dice[i] == pytest.approx(f1_score(truth_i, guess_i))
        assert np.nan_to_num(found.precision[i]) == pytest.approx(precision_score(truth_i, guess_i, zero_division=0))
        assert np.nan_to_num(found.recall[i]) == pytest.approx(recall_score(truth_i, guess_i, zero_division=0))


@pytest.mark.parametrize("classes", [2, 5, 21])
def test_agrees_with_torchmetrics(classes):
    rng = np.random.default_rng(classes)
    truth = rng.choice([*range(classes), 255], (3, 64, 64)).astype(np.uint8)
    guess = np.where(rng.random(truth.shape) < 0.5, truth % classes, rng.integers(0, classes, truth.shape))
    guess = guess.astype(np.uint8)
    tensors = torch.from_numpy(guess).long(), torch.from_numpy(truth).long()
    found = scores_of(truth, guess, classes - 1, "score")
    options = {"num_classes": classes, "ignore_index": 255, "average": None}
    assert found.iou == pytest.approx(multiclass_jaccard_index(*tensors, **options).numpy(), abs=1e-6)
    assert found.dice == pytest.approx(multiclass_f1_score(*tensors, **options).numpy(), abs=1e-6)


@given(arrays(np.uint8, (2, 40), elements=st.sampled_from([0, 1, 2, 3, 255])), st.sampled_from(MODES))
def test_scores_are_fractions_and_dice_is_a_function_of_iou(labels, mode):
    found = scores_of(*labels, 3, mode)
    there = ~found.absent
    assert ((found.iou[there] >= 0) & (found.iou[there] <= 1)).all()
    assert found.dice[there] == pytest.approx(2 * found.iou[there] / (1 + found.iou[there]))
    assert np.isnan(found.iou[~there]).all()


@given(arrays(np.uint8, 30, elements=st.integers(0, 3)), st.sampled_from(MODES))
def test_truth_scores_one_against_itself(truth, mode):
    found = scores_of(truth, truth, 3, mode)
    assert (found.iou[~found.absent] == 1).all()


def test_ignored_background_never_changes_a_score():
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 2, 2], 500).astype(np.uint8)
    one, two = rng.integers(0, 2, (2, 500), dtype=np.uint8)
    two[truth != 2] = one[truth != 2]
    assert scores_of(truth, one, 2, "ignore").iou.tolist() == scores_of(truth, two, 2, "ignore").iou.tolist()


def test_the_headline_mean_is_over_its_classes_and_the_other_over_all():
    truth, guess = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 2]], np.uint8)
    found = scores_of(truth, guess, 3, "ignore", mean_over=(0, 1))
    assert found.miou == pytest.approx(found.iou[:2].mean())
    assert found.miou_all == pytest.approx(found.iou.mean())
    assert found.mean_dice == pytest.approx(found.dice[:2].mean())


@pytest.mark.parametrize("mode", MODES)
def test_no_images_or_only_ignored_pixels_have_no_score(mode):
    ignored = Confusion(3)
    ignored.add(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8))
    for matrix in (Confusion(3).matrix, ignored.matrix):
        found = score(matrix, mode)
        assert found.absent.all()
        assert np.isnan([found.miou, found.mean_dice, found.fwiou, found.pixel_accuracy]).all()


def test_a_single_class():
    truth, guess = np.array([0, 0, 0, 1], np.uint8), np.array([0, 0, 255, 0], np.uint8)
    assert scores_of(truth, guess, 1, "ignore").miou == pytest.approx(2 / 3)
    assert scores_of(truth, guess, 1, "penalise").miou == pytest.approx(2 / 4)


def test_a_class_that_is_only_predicted_scores_zero_and_is_not_absent():
    found = scores_of(np.array([0], np.uint8), np.array([1], np.uint8), 3, "ignore")
    assert found.iou[:2].tolist() == [0, 0]
    assert found.absent.tolist() == [False, False, True]
    assert found.miou == 0


def test_many_matrices_at_once_are_scored_one_by_one():
    matrices = np.random.default_rng(0).integers(0, 50, (4, 4, 5))
    together = score(matrices, "penalise", (0, 2))
    for i, matrix in enumerate(matrices):
        alone = score(matrix, "penalise", (0, 2))
        assert together.iou[i].tolist() == alone.iou.tolist()
        assert together.miou[i] == alone.miou
        assert together.fwiou[i] == alone.fwiou
        assert class_counts(matrices, "score")[i].tolist() == class_counts(matrix, "score").tolist()


def test_the_mean_without_values_is_nan():
    assert np.isnan(mean_of(np.array([np.nan, np.nan])))
