import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.refiners.lattice import LANES, blur, build_lattice, collect, empty_values, normalised, splat
from qaclims_path.errors import QaclimsError


def filtered(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """N K labels through the lattice."""
    lattice = build_lattice(points)
    blocks = -(-labels.shape[1] // LANES)
    planes = np.zeros((blocks * LANES, len(points)), np.float32)
    planes[: labels.shape[1]] = labels.T
    values = empty_values(lattice, blocks)
    splat(planes, 0, len(points), lattice, values)
    blur(values, lattice)
    planes[:] = 0
    collect(planes, 0, len(points), lattice, values)
    return planes[: labels.shape[1]].T


def slow_twin(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same with dictionaries, written for reading."""
    d = points.shape[1]
    basis = np.zeros((d + 1, d))
    for i in range(d):
        basis[: i + 1, i], basis[i + 1, i] = 1, -(i + 1)
        basis[:, i] *= math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2))
    simplices, values = [], {}
    for point, label in zip(points.astype(np.float64), labels, strict=True):
        corners = simplex(basis @ point)
        simplices.append(corners)
        for key, weight in corners:
            values[key] = values.get(key, 0) + weight * label
    for direction in range(d + 1):
        step = np.ones(d + 1, int)
        step[direction] -= d + 1
        nothing = np.zeros(labels.shape[1])
        values = {
            key: value
            + (values.get(tuple(np.add(key, step)), nothing) + values.get(tuple(np.subtract(key, step)), nothing)) / 2
            for key, value in values.items()
        }
    return np.array([sum(weight * values[key] for key, weight in corners) for corners in simplices])


def simplex(point: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    """Return the corners of the simplex around a point of the plane, and their barycentric weights."""
    d = len(point) - 1
    base = np.floor(point / (d + 1) + 0.5).astype(int) * (d + 1)
    excess = base.sum() // (d + 1)
    order = np.argsort(-(point - base), kind="stable")
    if excess > 0:
        base[order[d + 1 - excess :]] -= d + 1
    elif excess < 0:
        base[order[:-excess]] += d + 1
    rest = point - base
    order = np.argsort(-rest, kind="stable")
    corners = []
    for k in range(d + 1):
        corner = base + k
        corner[order[d + 1 - k :]] -= d + 1
        if k:
            weight = (rest[order[d - k]] - rest[order[d + 1 - k]]) / (d + 1)
        else:
            weight = 1 - (rest[order[0]] - rest[order[d]]) / (d + 1)
        corners.append((tuple(corner.tolist()), float(weight)))
    return corners


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 40), st.floats(0.05, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_filter_equals_its_slow_twin(dimensions, count, spread, labels, seed):
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(count, dimensions)) * spread).astype(np.float32)
    given_labels = rng.random((count, labels)).astype(np.float32)
    expected = slow_twin(points, given_labels)
    np.testing.assert_allclose(filtered(points, given_labels), expected, rtol=2e-3, atol=2e-3)


def test_the_filter_comes_near_a_gaussian():
    side = np.arange(24, dtype=np.float32) / 4
    points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    impulse = np.zeros((len(points), 1), np.float32)
    impulse[12 * 24 + 12] = 1
    found = filtered(points, impulse)[:, 0]
    exact = np.exp(-((points - points[12 * 24 + 12]) ** 2).sum(1) / 2)
    assert np.corrcoef(found, exact)[0, 1] > 0.98


def test_normalised_weights_divide_by_row_sums_on_both_sides():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 3)).astype(np.float32)
    matrix = filtered(points, np.eye(30, dtype=np.float32))
    root = np.sqrt(matrix.sum(1))
    lattice = normalised(build_lattice(points), 2.0)
    planes = np.zeros((32, 30), np.float32)
    planes[:30] = np.eye(30)
    values = empty_values(lattice, 8)
    splat(planes, 0, 30, lattice, values)
    blur(values, lattice)
    planes[:] = 0
    collect(planes, 0, 30, lattice, values)
    np.testing.assert_allclose(planes[:30].T, 2 * matrix / root[:, None] / root, rtol=1e-4, atol=1e-5)


def test_equal_points_share_their_corners():
    points = np.ones((500, 5), np.float32)
    assert build_lattice(points).size == 6


def test_points_with_nan_are_refused():
    with pytest.raises(QaclimsError, match="finite"):
        build_lattice(np.array([[0, np.nan]], np.float32))


def test_points_too_far_apart_for_the_keys_are_refused():
    points = np.array([[0] * 5, [1e6] * 5], np.float32)
    with pytest.raises(QaclimsError, match="larger standard deviation"):
        build_lattice(points)
