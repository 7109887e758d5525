"""Tiles blended into the bands of a map."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.labels import labels_and_confidence
from qaclims_path.errors import PredictionProblem, UsageError
from qaclims_path.slides.maps.stitch import BAND, Blend, canvas_of, predict_tiles, stitch
from qaclims_path.types import TileGrid


def lattice(width0, height0, size, stride, scale=1.0, start=(0, 0)):
    """Tiles that cover a slide, the last ones sticking out, edges rounded down as the grid rounds them."""
    xs = start[0] + np.floor(np.arange(0, width0 / scale, stride) * scale + 1e-6).astype(np.int64)
    ys = start[1] + np.floor(np.arange(0, height0 / scale, stride) * scale + 1e-6).astype(np.int64)
    y, x = (part.reshape(-1) for part in np.meshgrid(ys, xs, indexing="ij"))
    span = max(1, round(size * scale))
    return TileGrid(x, y, span, span, size, 0.5 * scale, np.ones(len(x), np.float32))


def canvas_for(width0, height0, size, stride, scale=1.0, start=(0, 0)):
    return canvas_of(width0, height0, (0.5, 0.5), lattice(width0, height0, size, stride, scale, start))


OVERLAPPING = canvas_for(12, 8, 8, 4)


def whole(bands):
    bands = list(bands)
    assert [band.top for band in bands] == list(range(0, BAND * len(bands), BAND))
    return tuple(np.concatenate([getattr(band, kind) for band in bands]) for kind in ("codes", "confidence"))


def whole_map(tiles, canvas, blend):
    """Join tiles of probabilities, decided before where they do not overlap."""
    decided = ((i, labels_and_confidence(torch.from_numpy(tile)[None])[0].numpy()) for i, tile in tiles)
    return whole(stitch(tiles if canvas.overlaps else decided, canvas, blend))


def constant(canvas, values):
    tile = np.ones((len(values), canvas.size, canvas.size), np.float32) * np.array(values, np.float32)[:, None, None]
    return ((number, tile) for number in range(len(canvas.left)))


@settings(max_examples=30)
@given(
    width0=st.integers(1, 500),
    height0=st.integers(1, 900),
    size=st.integers(30, 120),
    share=st.floats(0.3, 1.0),
    scale=st.sampled_from([0.96, 1.0, 1.2, 1.5, 1.97785, 2.0, 4.03]),
    start=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    window=st.sampled_from(["gaussian", "linear", "flat"]),
)
def test_a_constant_prediction_gives_a_constant_map_without_holes(width0, height0, size, share, scale, start, window):
    canvas = canvas_for(width0, height0, size, max(1, int(size * share)), scale, start)
    assert abs(canvas.width - width0 / scale) <= 1
    assert abs(canvas.height - height0 / scale) <= 1
    blend = Blend(3, window=window)
    codes, confidence = whole_map(constant(canvas, [0.25, 0.6, 0.15]), canvas, blend)
    assert codes.shape == confidence.shape == (canvas.height, canvas.width)
    x, y = (int(np.ceil(v / scale)) for v in start)  # nothing was asked about what lies before the first tile
    assert (codes[y:, x:] == 1).all()
    assert (confidence[y:, x:] == 153).all()


@pytest.mark.parametrize("window", ["gaussian", "linear", "flat"])
@pytest.mark.parametrize(("size", "stride"), [(64, 64), (64, 40), (65, 33), (100, 7)])
def test_a_gradient_has_no_seams(window, size, stride):
    """The prediction at a pixel depends only on its position in the slide, so tile borders do not show."""
    canvas = canvas_for(700, 301, size, stride)
    share = np.linspace(0.02, 0.98, 900, dtype=np.float32)

    def tiles():
        for number, left in enumerate(canvas.left):
            row = share[left : left + size]
            yield number, np.broadcast_to(np.stack([row, 1 - row])[:, None], (2, size, size)).copy()

    codes, confidence = whole_map(tiles(), canvas, Blend(2, window=window))
    wanted = np.round(255 * np.maximum(share, 1 - share)[:700])
    assert np.abs(confidence - wanted).max() <= 1
    assert np.array_equal(codes, np.broadcast_to(share[:700] < 0.5, codes.shape))


def test_without_overlap_the_map_is_the_tiles_side_by_side():
    rng = np.random.default_rng(0)
    canvas = canvas_for(300, 200, 50, 50)
    scores = rng.random((24, 4, 50, 50), dtype=np.float32)
    scores /= scores.sum(1, keepdims=True)
    codes, _ = whole_map(iter(enumerate(scores)), canvas, Blend(4))
    side_by_side = scores.argmax(1).reshape(4, 6, 50, 50).transpose(0, 2, 1, 3).reshape(200, 300)
    assert np.array_equal(codes, side_by_side)


def test_what_no_tile_covers_has_the_code_of_outside():
    canvas = canvas_for(300, 200, 50, 50)
    tiles = [pair for pair in constant(canvas, [1.0]) if pair[0] in (0, 23)]
    codes, confidence = whole_map(iter(tiles), canvas, Blend(1, outside=7))
    assert (codes[:50, :50] == 0).all()
    assert (codes[150:, 250:] == 0).all()
    assert (codes == 7).sum() == 300 * 200 - 2 * 2500
    assert np.array_equal(confidence, np.where(codes == 7, 0, 255))
    assert (whole_map(iter(()), canvas, Blend(1, outside=7))[0] == 7).all()


@pytest.mark.parametrize(
    ("size", "stride", "scale", "overlaps"), [(64, 64, 1.2, False), (64, 62, 1, True), (9, 12, 1, False)]
)
def test_overlap_is_seen(size, stride, scale, overlaps):
    assert canvas_for(500, 400, size, stride, scale).overlaps == overlaps


def test_labels_that_travel_from_the_predictor_equal_blended_probabilities():
    """The same map as by sums of weighted probabilities, which the slow twin with one more, ignored tile forces."""
    rng = np.random.default_rng(0)
    canvas = canvas_for(300, 700, 64, 64, start=(3, 5))
    scores = rng.dirichlet((1, 1, 1), (len(canvas.left), 64, 64)).transpose(0, 3, 1, 2).astype(np.float32)
    pixels = ((i, np.full((64, 64, 3), i, np.uint8)) for i in range(len(scores)))
    predicted = predict_tiles(pixels, lambda tiles: scores[tiles[:, 0, 0, 0]], canvas, Blend(3, batch=5))
    found = whole(stitch(predicted, canvas, Blend(3)))
    twin = replace(canvas, left=np.append(canvas.left, canvas.left[-1]), top=np.append(canvas.top, canvas.top[-1]))
    assert twin.overlaps
    wanted = whole_map(iter(enumerate(scores)), twin, Blend(3))
    assert np.array_equal(found[0], wanted[0])
    assert np.abs(found[1].astype(int) - wanted[1]).max() <= 1


@pytest.mark.parametrize("first", [BAND, 2 * BAND])
def test_beginning_further_down_gives_the_same_bands(first):
    rng = np.random.default_rng(0)
    canvas = canvas_for(200, 1300, 64, 40)
    scores = rng.dirichlet((1, 1, 1), (len(canvas.left), 64, 64)).transpose(0, 3, 1, 2).astype(np.float32)
    bands = list(stitch(iter(enumerate(scores)), canvas, Blend(3)))
    again = list(stitch(iter(enumerate(scores)), canvas, Blend(3), first_row=first))
    assert [band.top for band in again] == [band.top for band in bands if band.top >= first]
    for one, other in zip(again, bands[first // BAND :], strict=True):
        assert np.array_equal(one.codes, other.codes)
        assert np.array_equal(one.confidence, other.confidence)


def test_batches_end_at_the_same_tiles_wherever_the_work_begins():
    canvas = canvas_for(50, 700, 50, 50)
    seen = []

    def predict(tiles):
        seen.append(tiles[:, 0, 0, 0].tolist())
        return np.ones((len(tiles), 1, 50, 50))

    for start in (0, 4, 8):
        tiles = ((n, np.full((50, 50, 3), n, np.uint8)) for n in range(start, 14))
        list(predict_tiles(tiles, predict, canvas, Blend(1, batch=4)))
    whole_run = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    assert seen == whole_run + whole_run[1:] + whole_run[2:]


def test_predictions_may_be_tensors():
    canvas = canvas_for(8, 8, 8, 8)
    tiles = iter([(0, np.zeros((8, 8, 3), np.uint8))])
    scores = torch.full((1, 2, 8, 8), 0.5, dtype=torch.bfloat16, requires_grad=True)
    [(number, array)] = predict_tiles(tiles, lambda _: scores, canvas, Blend(2))
    assert number == 0
    assert array.dtype == np.uint8
    assert (array == np.array([0, 128], np.uint8)[:, None, None]).all()
    [(_, array)] = predict_tiles(iter([(0, np.zeros((8, 8, 3), np.uint8))]), lambda _: scores, OVERLAPPING, Blend(2))
    assert array.dtype == np.float32
    assert (array == 0.5).all()


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 2, 4, 4), (2, 2, 8, 8), (1, 2, 64)])
def test_a_predictor_with_the_wrong_shape_is_told_the_right_one(shape):
    canvas = canvas_for(8, 8, 8, 8)
    tiles = iter([(0, np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(PredictionProblem, match=r"has to be \(1, 2, 8, 8\)"):
        list(predict_tiles(tiles, lambda _: np.ones(shape), canvas, Blend(2)))


@pytest.mark.parametrize("values", [[np.nan, 1.0], [3.0, -2.0], [0.2, 0.2]])
def test_a_predictor_without_probabilities_is_told_so(values):
    canvas = canvas_for(8, 8, 8, 8)
    with pytest.raises(PredictionProblem, match="tile 0 holds NaN or numbers that do not add up to one"):
        whole_map(constant(canvas, values), canvas, Blend(2))
    with pytest.raises(PredictionProblem, match="tile 0 holds NaN or numbers that do not add up to one"):
        whole_map(constant(OVERLAPPING, values), OVERLAPPING, Blend(2))


def test_a_map_without_classes_is_refused():
    with pytest.raises(UsageError, match="1 to 255 classes"):
        Blend(0)


def test_tiles_that_are_not_sorted_are_refused():
    grid = lattice(100, 100, 50, 50)
    unsorted = TileGrid(grid.x, grid.y[::-1].copy(), 50, 50, 50, 0.5, grid.tissue)
    with pytest.raises(UsageError, match="not sorted by row"):
        canvas_of(100, 100, (0.5, 0.5), unsorted)


def test_bands_that_are_too_large_for_memory_are_refused():
    wide = canvas_of(10_000_000, 600, (0.5, 0.5), lattice(1000, 600, 512, 256))
    with pytest.raises(UsageError, match="Choose smaller tiles"):
        next(stitch(constant(wide, [1.0]), wide, Blend(200)))
