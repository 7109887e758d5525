from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qaclims_path.compute.refiners.walk import _Walk, affinities, chebyshev_factors, paths, random_walk


def dense_twin(maps: torch.Tensor, edges: torch.Tensor, radius: int, beta: float, doublings: int) -> torch.Tensor:
    """One image as published: a matrix of all pairs of pixels, squared again and again."""
    height, width = edges.shape
    matrix = torch.eye(height * width, dtype=torch.float64)
    for path in paths(radius):
        for y in range(height):
            for x in range(width):
                down, right = y + path[0][0], x + path[0][1]
                if 0 <= down < height and 0 <= right < width:
                    highest = max(edges[y + dy, x + dx] for dy, dx in path)
                    a, b = y * width + x, down * width + right
                    matrix[a, b] = matrix[b, a] = (1 - highest) ** beta
    matrix = matrix / matrix.sum(0, keepdim=True)
    for _ in range(doublings):
        matrix = matrix @ matrix
    return ((maps * (1 - edges)).flatten(1) @ matrix).view_as(maps)


def test_as_published(checkout: Path):
    with np.load(checkout / "tests" / "parity" / "random_walk.npz", allow_pickle=False) as given:
        found = random_walk(
            torch.from_numpy(given["cam"])[None],
            torch.from_numpy(given["edge"]),
            radius=int(given["radius"]),
            beta=float(given["beta"]),
            doublings=int(given["exp_times"]),
        )
        np.testing.assert_allclose(found[0].numpy(), given["walked"], atol=1e-4)


@pytest.mark.parametrize(("radius", "doublings"), [(2, 0), (3, 3), (5, 5)])
def test_equals_the_dense_twin(radius, doublings):
    generator = torch.Generator().manual_seed(radius)
    edges = torch.rand(1, 7, 9, generator=generator, dtype=torch.float64)
    maps = torch.rand(1, 2, 7, 9, generator=generator, dtype=torch.float64)
    found = random_walk(maps, edges, radius=radius, beta=4, doublings=doublings)[0]
    torch.testing.assert_close(found, dense_twin(maps[0], edges[0], radius, 4, doublings), atol=1e-5, rtol=0)


@pytest.mark.parametrize("steepness", [1, 3])
def test_equals_256_single_steps(steepness):
    """Plain steps in double precision, on maps large enough for rounding errors to grow."""
    generator = torch.Generator().manual_seed(steepness)
    edges = F.interpolate(torch.rand(1, 1, 9, 12, generator=generator), (70, 95), mode="bilinear")[:, 0].pow(steepness)
    maps = torch.rand(1, 2, 70, 95, generator=generator)
    weights = affinities(edges.double(), 5).pow(10)
    wanted = maps.double() * (1 - edges.double()[:, None])
    walk = _Walk(weights, [path[0] for path in paths(5)])
    for _ in range(256):
        wanted = walk._step(wanted)
    found = random_walk(maps, edges)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=0)


def test_images_of_a_batch_do_not_affect_each_other():
    generator = torch.Generator().manual_seed(0)
    edges, maps = torch.rand(3, 12, 10, generator=generator), torch.rand(3, 2, 12, 10, generator=generator)
    together = random_walk(maps, edges)
    torch.testing.assert_close(together[1:2], random_walk(maps[1:2], edges[1:2]), atol=1e-5, rtol=0)


def test_a_closed_boundary_is_not_crossed():
    edges = torch.full((1, 9, 20), 0.02)
    edges[:, :, 10] = 1
    maps = torch.zeros(1, 1, 9, 20)
    maps[..., :3] = 1
    found = random_walk(maps, edges)[0, 0]
    assert found[:, 9].min() > 0.1
    assert found[:, 11:].abs().max() < 1e-5


def test_affinities_of_small_maps_and_their_gradient():
    edges = torch.rand(2, 3, 4, requires_grad=True)
    found = affinities(edges, 10)
    assert found.shape == (2, len(paths(10)), 3, 4)
    found.sum().backward()
    assert edges.grad is not None


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 256])
def test_powers_are_sums_of_chebyshev_polynomials(steps):
    x = np.linspace(-1, 1, 41)
    factors = chebyshev_factors(steps)
    np.testing.assert_allclose(np.polynomial.chebyshev.chebval(x, factors), x**steps, atol=2e-6)
    assert len(factors) <= min(steps, 90) + 1


def test_paths_as_published():
    found = paths(5)
    assert len(found) == 34
    assert all(path[0] != (0, 0) for path in found)
    assert all(path[-1] == (0, 0) for path in found)
    assert {(1, 2), (0, 1), (1, 1), (0, 0), (1, 0), (0, 2)} == set(next(path for path in found if path[0] == (1, 2)))
