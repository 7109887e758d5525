"""Mosaics: a pixel and its planes come from one image, as all of a piece do; equal seeds make equal mosaics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.data.decoded import Decoded
from qaclims_path.data.mosaic import Mosaics, cells
from qaclims_path.engine.seeds import preserved_random_state, seed_all

Random = np.random.default_rng


class Numbered:
    """Images whose pixels hold their number and position, and whose planes hold the number and the sum of these."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def decoded(self, index: int) -> Decoded:
        rows, columns = np.indices(self.sizes[index])
        pixels = np.stack([np.full_like(rows, index), rows, columns], 2).astype(np.uint8)
        planes = np.stack([np.full_like(rows, index), rows + columns]).astype(np.uint8)
        return Decoded(str(index), pixels, planes=planes)


def made(source: Numbered, index: int = 0, seed: int = 0, **given) -> Decoded:
    options = {"members": [[1], [2, 3]], "share": 1.0, "pieces": (8,), **given}
    with preserved_random_state():
        seed_all(seed)
        return Mosaics(source, **options).decoded(index)


@given(height=st.integers(5, 60), width=st.integers(5, 60), small=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_every_pixel_and_its_planes_come_from_an_image_with_one_class(height, width, small, seed):
    found = made(Numbered((height, width), (40, 40), (small, 50), (40, 40)), seed=seed, free=bool(seed % 2))
    number, row, column = found.pixels.transpose(2, 0, 1)
    assert found.pixels.shape == (height, width, 3)
    assert set(np.unique(number)) <= {1, 2, 3}
    np.testing.assert_array_equal(found.planes, np.stack([number, row + column]))


@given(piece=st.integers(4, 40), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_pieces_equal_a_loop_over_pixels(piece, seed):
    rows, columns = cells(33, 50, piece, Random(seed), free=False)
    for y, x in np.ndindex(33, 50):
        assert (rows[y, x], columns[y, x]) == (y // piece, x // piece)
    free = cells(33, 50, piece, Random(seed), free=True)
    for axis, index, side in zip(free, np.indices((33, 50)), (33, 50), strict=True):
        assert (np.abs((axis + 0.5) * piece - index - 0.5) <= 0.96 * piece).all()
        assert (axis >= 0).all()
        assert (axis < -(-side // piece)).all()


def test_free_borders_are_curved_and_pieces_keep_their_number():
    straight, free = (cells(64, 64, 16, Random(0), free=given) for given in (False, True))
    assert {*zip(*(each.ravel().tolist() for each in free), strict=True)} == {*np.ndindex(4, 4)}
    moved = (np.stack(free) != np.stack(straight)).any(0).mean()
    assert 0.1 < moved < 0.6
    assert (np.diff(free[0][:, 0] * 16) >= 0).all()


def test_pieces_are_cut_whole_from_one_image():
    found = made(Numbered((32, 32), (64, 64), (64, 64), (64, 64)), free=False)
    for y, x in np.ndindex(4, 4):
        piece = found.pixels[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].astype(int)
        assert (piece[..., 0] == piece[0, 0, 0]).all()
        np.testing.assert_array_equal(piece[..., 1] - piece[0, 0, 1], np.indices((8, 8))[0])


def test_classes_are_as_frequent_as_each_other():
    source = Numbered(*[(32, 32)] * 12)
    images = [made(source, seed=seed, members=[[1], [*range(2, 12)]]).pixels[..., 0] for seed in range(60)]
    assert np.mean([(image == 1).mean() for image in images]) == pytest.approx(0.5, abs=0.06)


def test_a_share_is_replaced_and_the_seed_decides_which():
    source = Numbered(*[(32, 32)] * 4)
    found = [made(source, seed=seed, share=0.3) for seed in range(200)]
    assert np.mean(["mosaic" in each.id for each in found]) == pytest.approx(0.3, abs=0.1)
    again = [made(source, seed=seed, share=0.3) for seed in range(200)]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.planes, other.planes)
    assert all((each.pixels[..., 0] == 0).all() for each in found if "mosaic" not in each.id)


def test_random_numbers_are_those_of_torch():
    torch.manual_seed(3)
    first = Mosaics(Numbered(*[(32, 32)] * 4), [[1], [2, 3]], 1.0, (8, 16)).decoded(0)
    second = Mosaics(Numbered(*[(32, 32)] * 4), [[1], [2, 3]], 1.0, (8, 16)).decoded(0)
    assert not np.array_equal(first.pixels, second.pixels)
