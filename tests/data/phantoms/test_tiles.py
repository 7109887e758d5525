"""Painted tiles: repeatable, of the patients asked for, with fair shares of classes."""

import numpy as np
import pytest

from qaclims_path.data.phantoms.layout import BACKGROUND
from qaclims_path.data.phantoms.tiles import MIN_SHARE, phantom_tiles

PATIENTS = ("FK-0001", "FK-0002", "FK-0003")


@pytest.fixture(scope="module")
def tiles():
    return list(phantom_tiles(5, PATIENTS, 16))


def test_tiles_are_repeatable(tiles):
    again = list(phantom_tiles(5, PATIENTS[:1], 3))
    for one, other in zip(tiles, again, strict=False):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)
        assert (one.x, one.y, one.patient) == (other.x, other.y, other.patient)


def test_tiles_have_the_size_and_the_patients_asked_for(tiles):
    assert {tile.image.shape for tile in tiles} == {(224, 224, 3)}
    assert {tile.labels.shape for tile in tiles} == {(224, 224)}
    assert [tile.patient for tile in tiles[::16]] == list(PATIENTS)
    assert len({(tile.patient, tile.x, tile.y) for tile in tiles}) == len(tiles)


def test_some_tiles_hold_one_class_and_many_several(tiles):
    kinds = [len(np.unique(tile.labels[tile.labels < BACKGROUND])) for tile in tiles]
    assert min(kinds) > 0
    assert 0.15 < np.mean(np.array(kinds) == 1) < 0.6
    assert np.mean(np.array(kinds) > 1) > 0.4


def test_every_class_has_a_fair_share(tiles):
    counts = np.bincount(np.concatenate([tile.labels.ravel() for tile in tiles]), minlength=5)
    assert (counts / counts.sum() > 0.06).all()


def test_few_classes_cover_only_a_sliver_of_a_tile(tiles):
    shares = np.array([np.bincount(tile.labels.ravel(), minlength=5) / tile.labels.size for tile in tiles])
    slivers = (shares > 0) & (shares < MIN_SHARE / 2)
    assert slivers.sum() <= 0.1 * (shares > 0).sum()


def test_stain_families_can_be_kept_apart():
    first, second = (next(iter(phantom_tiles(5, ["P"], 1, stains=[name]))) for name in ("pale", "crimson"))
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.image, second.image)
