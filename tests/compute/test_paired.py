"""Paired differences against a slow twin that repeats images and trainings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.bootstrap import source_weights
from qaclims_path.compute.paired import difference_interval, drawn_scores, drawn_trainings


def slow_miou(images: list[np.ndarray]) -> float:
    """Mean IoU of a list of images, each n x 3: right, in the truth, predicted."""
    classes = []
    for index in range(len(images[0]) if images else 0):
        right, truth, predicted = (sum(int(image[index][k]) for image in images) for k in range(3))
        if truth + predicted:
            classes.append(right / (truth + predicted - right))
    return sum(classes) / len(classes) if classes else float("nan")


def slow_interval(ours, theirs, replicates: int, seed: int) -> tuple[float, float]:
    """Draw images and trainings one by one, as lists."""
    sources = len(ours[0])
    repeats = [source_weights(seed, source, replicates) for source in range(sources)]
    trainings = np.random.default_rng(seed).multinomial(len(ours), [1 / len(ours)] * len(ours), replicates)
    found = []
    for b in range(replicates):
        drawn = [source for source in range(sources) for _ in range(repeats[source][b])]
        values = []
        for training in (t for t in range(len(ours)) for _ in range(trainings[b][t])):
            mine, other = ([counts[training][source] for source in drawn] for counts in (ours, theirs))
            values.append(slow_miou(mine) - slow_miou(other))
        mean = sum(values) / len(values)
        if mean == mean:
            found.append(mean)
    return tuple(np.quantile(found, (0.025, 0.975))) if found else (np.nan, np.nan)


def random_counts(rng, trainings: int, sources: int, classes: int) -> np.ndarray:
    truth, wrong, right = (rng.integers(0, 40, (trainings, sources, classes)) for _ in range(3))
    truth[:] = truth[:1]  # all trainings are scored on the same images
    right = np.minimum(right, truth)
    return np.stack([right, truth, right + wrong], axis=-1)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), trainings=st.integers(1, 3), sources=st.integers(1, 6), classes=st.integers(1, 3))
def test_intervals_equal_the_slow_twin(seed, trainings, sources, classes):
    rng = np.random.default_rng(seed)
    ours, theirs = (random_counts(rng, trainings, sources, classes) for _ in range(2))
    drawn = [[drawn_scores(each, (), 40, seed) for each in counts] for counts in (ours, theirs)]
    expected = slow_interval(ours, theirs, 40, seed)
    assert difference_interval(*drawn, seed) == pytest.approx(expected, nan_ok=True)


def test_equal_methods_differ_by_zero():
    counts = random_counts(np.random.default_rng(0), 3, 10, 4)
    drawn = [drawn_scores(each, (0, 2), 100, 0) for each in counts]
    assert difference_interval(drawn, drawn, 0) == (0.0, 0.0)


def test_pairing_makes_the_interval_narrower():
    """Images differ much in how hard they are; one method is a little better on each of them."""
    rng = np.random.default_rng(1)
    right = rng.integers(100, 900, 60)
    one, other = (np.stack([hits, np.full(60, 1000), np.full(60, 1000)], -1)[:, None] for hits in (right + 20, right))
    paired = difference_interval([drawn_scores(one, (), 500, 0)], [drawn_scores(other, (), 500, 0)], 0)
    apart = difference_interval([drawn_scores(one, (), 500, 0)], [drawn_scores(other, (), 500, 1)], 0)
    assert 0 < paired[0] < paired[1] < 0.05
    assert apart[0] < 0 < apart[1]


def test_trainings_are_drawn_with_replacement():
    shares = drawn_trainings(3, 2000, 0)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert {round(3 * share) for share in shares.ravel()} == {0, 1, 2, 3}


def test_no_images_give_nan():
    assert np.isnan(drawn_scores([], (), 5, 0)).all()
    assert np.isnan(difference_interval([np.full(5, np.nan)], [np.full(5, np.nan)], 0)).all()
