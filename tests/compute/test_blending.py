import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.blending import NO_LABEL, LabelBand, TileBand, window_weights


def probabilities(rng, *shape):
    """Random numbers that add up to one over the first axis but one."""
    scores = rng.random(shape, dtype=np.float32) + 0.01
    return scores / scores.sum(-3, keepdims=True)


def blended(width, height, tiles, corners, weights):
    """The slow twin: everything in memory, with a map of the weights."""
    classes = tiles[0].shape[0]
    sums, total = np.zeros((classes, height + 99, width + 99)), np.zeros((height + 99, width + 99))
    window = np.outer(weights, weights)
    for tile, (left, top) in zip(tiles, corners, strict=True):
        area = np.s_[top : top + len(weights), left : left + len(weights)]
        sums[(slice(None), *area)] += window * tile
        total[area] += window
    sums, total = sums[:, :height, :width], total[:height, :width]
    mean = sums / np.where(total > 0, total, 1)
    return np.where(total > 0, mean.argmax(0), 255), mean.max(0)


@pytest.mark.parametrize("kind", ["gaussian", "linear", "flat"])
@pytest.mark.parametrize("size", [1, 2, 7, 224])
def test_weights_are_positive_symmetric_and_highest_in_the_middle(kind, size):
    weights = window_weights(kind, size)
    assert weights.dtype == np.float32
    assert weights.shape == (size,)
    assert (weights > 0).all()
    assert weights.max() == weights[size // 2] == 1
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-6)


@settings(max_examples=60)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    size=st.integers(1, 12),
    stride=st.integers(1, 14),
    classes=st.integers(1, 4),
    kind=st.sampled_from(["gaussian", "linear", "flat"]),
    seed=st.integers(0, 999),
)
def test_equals_adding_up_in_memory(width, height, size, stride, classes, kind, seed):
    rng = np.random.default_rng(seed)
    corners = [(x, y) for y in range(0, height, stride) for x in range(0, width, stride) if rng.random() < 0.8]
    tiles = [probabilities(rng, classes, size, size) for _ in corners] or [np.zeros((classes, size, size), np.float32)]
    weights = window_weights(kind, size)
    band, codes, confidence = TileBand(width, classes, weights), [], []

    def take(until):
        while band.top < until:
            for rows, part in zip((codes, confidence), band.take(min(size, until - band.top), 255), strict=True):
                rows.append(part)

    for tile, (left, top) in zip(tiles, corners, strict=False):
        take(top)
        assert band.add(tile, left, top)
    take(height)
    wanted, best = blended(width, height, tiles, corners or [(0, height)], weights)
    assert np.array_equal(np.concatenate(codes), wanted)
    assert np.abs(np.concatenate(confidence) - 255 * best).max() <= 0.51


def test_tiles_are_cut_at_every_side_of_the_image():
    rng = np.random.default_rng(0)
    tile = probabilities(rng, 3, 6, 6)
    band = TileBand(4, 3, window_weights("linear", 6))
    assert band.add(tile, left=-1, top=-2)
    codes, _ = band.take(4, outside=9)
    assert np.array_equal(codes, tile[:, 2:, 1:5].argmax(0))
    assert (band.take(6, outside=9)[0] == 9).all()


def test_a_tile_that_starts_above_the_band_adds_only_the_rest():
    rng = np.random.default_rng(1)
    tile = probabilities(rng, 2, 5, 5)
    band = TileBand(5, 2, window_weights("flat", 5), top=3)
    assert band.add(tile, left=0, top=1)
    assert np.array_equal(band.take(3, outside=9)[0], tile[:, 2:].argmax(0))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, 3.0])
def test_a_single_number_that_is_no_probability_is_reported(wrong):
    tile = np.full((2, 4, 4), 0.5, np.float32)
    tile[1, 2, 3] = wrong
    assert not TileBand(4, 2, window_weights("flat", 4)).add(tile, 0, 0)


def test_rows_have_to_be_taken_before_they_are_needed_again():
    band = TileBand(4, 1, window_weights("flat", 4))
    with pytest.raises(ValueError, match="row 1 is added before"):
        band.add(np.ones((1, 4, 4), np.float32), 0, 1)


def test_tiles_of_labels_are_joined_and_cut_like_tiles_of_probabilities():
    tile = np.random.default_rng(2).integers(0, 200, (2, 6, 6), np.uint8)
    band = LabelBand(4, 6)
    assert band.add(tile, left=-1, top=-2)
    labels, confidence = band.take(5, outside=9)
    assert np.array_equal(labels[:4], tile[0, 2:, 1:5])
    assert np.array_equal(confidence[:4], tile[1, 2:, 1:5])
    assert (labels[4] == 9).all()
    assert (confidence[4] == 0).all()
    assert band.add(tile, left=3, top=5)
    labels, _ = band.take(6, outside=9)
    assert np.array_equal(labels[:, 3], tile[0, :, 0])
    assert (labels[:, :3] == 9).all()
    assert (band.take(6, outside=9)[0] == 9).all()  # rows are used again


def test_a_tile_of_labels_that_lies_beside_the_image_changes_nothing():
    band = LabelBand(4, 6)
    assert band.add(np.ones((2, 6, 6), np.uint8), left=7, top=0)
    assert (band.take(6, outside=9)[0] == 9).all()


def test_a_pixel_without_label_is_reported():
    tile = np.zeros((2, 4, 4), np.uint8)
    tile[0, 1, 2] = NO_LABEL
    assert not LabelBand(4, 4).add(tile, 0, 0)
