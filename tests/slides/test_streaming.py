"""Streaming a grid yields the tiles of `Slide.read`, and decodes every compressed tile once."""

import tracemalloc
from collections import Counter
from contextlib import closing
from dataclasses import replace
from threading import Lock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaclims_path.slides.geometry import LevelRegion
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.readers.tiff_store import DecodingAhead, TileStore
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid

JPEG = {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 2)}


def grid_of(width, height, size, stride, mpp=0.5, factor=1.0, start=0, keep=1.0):
    """Make tiles in row order that begin inside the slide; keep a random share of them."""
    x, y = np.meshgrid(np.arange(start, width, stride), np.arange(start, height, stride))
    kept = np.random.default_rng(3).random(x.size) < keep
    x, y = x.ravel()[kept].astype(np.int64), y.ravel()[kept].astype(np.int64)
    side = round(size * factor)
    return TileGrid(x, y, side, side, size, mpp, np.ones(len(x), np.float32))


def assert_same_as_reading(slide, grid):
    tiles = list(iter_tiles(slide, grid))
    assert [number for number, _ in tiles] == list(range(len(grid)))
    for number, tile in tiles:
        assert tile.dtype == np.uint8
        expected = slide.read(int(grid.x[number]), int(grid.y[number]), grid.size, grid.size, grid.mpp)
        np.testing.assert_array_equal(tile, expected)


@pytest.mark.parametrize("backend", ["tiff", "openslide", "tiffslide"])
@pytest.mark.parametrize(
    ("size", "stride", "mpp", "factor"),
    [(64, 64, 0.5, 1), (56, 56, 0.5, 1), (56, 28, 0.5, 1), (40, 80, 1.0, 2), (40, 90, 1.13, 2.26), (32, 128, 2.0, 4)],
    ids=["aligned", "unaligned", "overlapping", "halved", "resampled", "next level"],
)
def test_tiles_are_those_of_reading_one_by_one(backend, size, stride, mpp, factor, write_tiff, tissue_like):
    pixels = tissue_like(420, 500)
    with open_slide(write_tiff([pixels, pixels[::4, ::4]], **JPEG), backend=backend) as slide:
        assert_same_as_reading(slide, grid_of(500, 420, size, stride, mpp, factor, start=-10))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 150), stride=st.integers(20, 120), mpp=st.floats(0.4, 5), keep=st.sampled_from([0.3, 1.0]))
def test_any_grid_gives_the_tiles_of_reading_one_by_one(size, stride, mpp, keep, write_tiff, tissue_like):
    pixels = tissue_like(200, 250)
    with open_slide(write_tiff([pixels, pixels[::2, ::2]], compression="zlib", tile=(32, 48))) as slide:
        assert_same_as_reading(slide, grid_of(250, 200, size, stride, mpp, keep=keep))


def test_tiles_of_a_real_slide_are_those_of_reading_one_by_one(real_data):
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide.info.backend == "tiff"
        assert_same_as_reading(slide, grid_of(slide.info.width, slide.info.height, 224, 224, 0.499))
        assert_same_as_reading(slide, grid_of(slide.info.width, slide.info.height, 224, 448, 1.0, 2.004))


def counted(slide):
    """Make the backend count which tiles it decodes."""
    decoded, lock = Counter(), Lock()
    backend = slide.backend

    def counting(number, level):
        def decode(data, out):
            with lock:
                decoded[number] += 1
            level.decode(data, out)

        return replace(level, decode=decode)

    backend._levels = tuple(counting(number, level) for number, level in enumerate(backend._levels))
    return decoded


@pytest.mark.parametrize("stride", [64, 56, 20])
def test_every_compressed_tile_is_decoded_once(stride, write_tiff, tissue_like):
    with open_slide(write_tiff([tissue_like(512, 640)], **JPEG), backend="tiff") as slide:
        decoded = counted(slide)
        for _ in iter_tiles(slide, grid_of(640, 512, 56, stride)):
            pass
        assert decoded == {0: 8 * 10}


def test_tiles_that_nobody_wants_are_not_decoded(write_tiff, tissue_like):
    grid = TileGrid(np.array([0, 400]), np.array([10, 400]), 40, 40, 40, 0.5, np.ones(2, np.float32))
    with open_slide(write_tiff([tissue_like(512, 512)], **JPEG), backend="tiff") as slide:
        decoded = counted(slide)
        assert len(list(iter_tiles(slide, grid))) == 2
        assert decoded[0] == 2


def test_memory_holds_no_more_than_a_band_of_the_slide(write_tiff, tissue_like):
    pixels = np.tile(tissue_like(512, 512), (4, 4, 1))
    with open_slide(write_tiff([pixels], **JPEG), backend="tiff") as slide:
        grid = grid_of(2048, 2048, 56, 56)
        tracemalloc.start()
        for _ in iter_tiles(slide, grid):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    band = 2 * 64 * 2048 * 3
    assert peak < 2 * band + 1000 * len(grid), f"{peak / 1e6:.1f} MB for a slide of {pixels.nbytes / 1e6:.1f} MB"


@pytest.mark.parametrize("backend", ["tiff", "openslide", "tiffslide"])
@pytest.mark.parametrize("mpp", [0.5, 1.0, 1.2])
def test_tiles_belong_to_the_caller(backend, mpp, write_tiff, tissue_like):
    """Writing to a tile changes no other tile."""
    grid = TileGrid(np.zeros(3, np.int64), np.zeros(3, np.int64), 64, 64, 64, mpp, np.ones(3, np.float32))
    with open_slide(write_tiff([tissue_like(128, 128)], compression="zlib"), backend=backend) as slide:
        expected = slide.read(0, 0, 64, 64, mpp)
        tiles = [tile for _, tile in iter_tiles(slide, grid)]
        tiles[0][:] = 0
        for tile in tiles[1:]:
            np.testing.assert_array_equal(tile, expected)
        assert slide.thumbnail(40).flags.writeable


def test_an_empty_grid_yields_nothing(write_tiff, tissue_like):
    empty = np.zeros(0, np.int64)
    with open_slide(write_tiff([tissue_like(64, 64)])) as slide:
        assert list(iter_tiles(slide, TileGrid(empty, empty, 8, 8, 8, 0.5, np.zeros(0, np.float32)))) == []


ORDER = (1, 2, 1, 2, 1)


@pytest.fixture
def decoder():
    """Fill a tile with its number, and note which tiles were decoded."""
    made = []

    def decode(key, spare):
        made.append(key)
        return np.full((4, 4, 3), key[1], np.uint8)

    return decode, made


def test_a_store_with_room_for_one_tile_decodes_again(decoder):
    decode, made = decoder
    store = TileStore(Counter({(0, 1): 3, (0, 2): 2}), limit=50)
    assert [int(store.take((0, tile), decode)[0][0, 0, 0]) for tile in ORDER] == list(ORDER)
    assert made == [(0, 1), (0, 2), (0, 1), (0, 2)]


def test_a_store_with_room_for_all_tiles_decodes_each_once(decoder):
    decode, made = decoder
    store = TileStore(Counter({(0, 1): 3, (0, 2): 2}), limit=5000)
    assert [store.take((0, tile), decode)[1] for tile in ORDER] == [False, False, False, True, True]
    assert made == [(0, 1), (0, 2)]


@pytest.mark.parametrize("limit", [50, 5000], ids=["dropped before its last use", "kept"])
@pytest.mark.parametrize("asked", [(1, 2, 1, 3), (2, 1, 3, 1)], ids=["in the expected order", "in another order"])
def test_tiles_that_threads_decode_ahead_are_the_tiles_asked_for(decoder, limit, asked):
    decode, _ = decoder
    store = TileStore(Counter((0, tile) for tile in asked), limit=limit)
    with closing(DecodingAhead(decode, [(0, 1), (0, 2), (0, 3)], threads=2)) as decoded:
        assert [int(store.take((0, tile), decoded)[0][0, 0, 0]) for tile in asked] == list(asked)


@pytest.mark.parametrize("stride", [64, 56, 20])
def test_several_threads_decode_every_compressed_tile_once_to_the_same_pixels(stride, write_tiff, tissue_like):
    regions = [LevelRegion(0, x, y, 56, 56) for y in range(-10, 512, stride) for x in range(-10, 640, stride)]
    with open_slide(write_tiff([tissue_like(512, 640)], **JPEG), backend="tiff") as slide:
        wanted = list(slide.backend.stream(regions))
        decoded = counted(slide)
        found = list(slide.backend.stream(regions, threads=3))
        assert decoded == {0: 8 * 10}
        assert all(np.array_equal(one, other) for one, other in zip(wanted, found, strict=True))
