"""The Poisson bootstrap: seeded, independent of the order, and about as wide as the classical one."""

import numpy as np
import pytest

from qaclims_path.compute.bootstrap import PoissonBootstrap, source_weights
from qaclims_path.compute.scores import iou_of


def some_counts(images, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(500, 1500, (images, classes))
    right = (truth * rng.beta(8, 3, (images, classes))).astype(np.int64)
    predicted = right + rng.integers(0, 400, (images, classes))
    return np.stack([right, truth, predicted], axis=-1)


def run(counts, order=None, replicates=500, seed=7):
    boot = PoissonBootstrap(counts.shape[1], replicates, seed)
    for i in order if order is not None else range(len(counts)):
        boot.add(int(i), counts[i])
    return boot


def classical(counts, replicates, seed):
    """Draw n of n images with replacement, many times."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(counts), (replicates, len(counts)))
    return np.quantile([iou_of(counts[draw].sum(axis=0)) for draw in draws], [0.025, 0.975], axis=0).T


def test_sums_are_the_weighted_counts():
    counts = some_counts(5)
    slow = sum(source_weights(7, i, 500)[:, None, None] * counts[i] for i in range(5))
    assert np.array_equal(run(counts).sums, slow)


def test_order_does_not_matter_and_seed_does():
    counts = some_counts(30)
    backwards = run(counts, order=range(29, -1, -1))
    assert np.array_equal(run(counts).sums, backwards.sums)
    assert not np.array_equal(run(counts).sums, run(counts, seed=8).sums)


def test_weights_are_poisson_of_mean_one_and_differ_between_images():
    weights = np.stack([source_weights(3, i, 2000) for i in range(50)])
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert weights.var() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(weights)[np.triu_indices(50, 1)]).max() < 0.12


def test_width_matches_the_classical_bootstrap():
    counts = some_counts(200)
    ours = run(counts, replicates=2000).intervals().iou
    theirs = classical(counts, 2000, 0)
    width = theirs[:, 1] - theirs[:, 0]
    assert np.abs(ours - theirs).max() < 0.15 * width.min()


def test_intervals_cover_the_truth_about_as_often_as_their_level():
    covered = 0
    population = some_counts(20000, classes=1, seed=1)
    truth = iou_of(population.sum(axis=0))[0]
    rng = np.random.default_rng(2)
    for trial in range(150):
        sample = population[rng.integers(0, len(population), 80)]
        low, high = run(sample, replicates=300, seed=trial).intervals().iou[0]
        covered += low <= truth <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_the_headline_interval_is_over_its_classes():
    boot = run(some_counts(40))
    some, all_of_them = boot.intervals((0, 1)), boot.intervals()
    assert some.miou.tolist() != all_of_them.miou.tolist()
    assert some.miou_all.tolist() == all_of_them.miou.tolist()
    assert (some.iou[:, 0] <= some.iou[:, 1]).all()


def test_an_absent_class_and_no_images_have_no_interval():
    counts = some_counts(10)
    counts[:, 1] = 0
    found = run(counts).intervals()
    assert np.isnan(found.iou[1]).all()
    assert not np.isnan(found.miou).any()
    assert np.isnan(run(counts[:0]).intervals().miou).all()
