"""Chunks give the value and the gradients of all pairs, in the memory of one chunk."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from qaclims_path.compute.chunks import balanced, in_chunks

PAIRS = 7
WEIGHTS = torch.linspace(0.5, 1.5, PAIRS, dtype=torch.float64)


def slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def term(maps: Tensor, scale: Tensor, rows: slice) -> dict[str, Tensor]:
    """Something with a graph of its own per pair."""
    seen = torch.tanh(maps[rows] * scale).flatten(1).square().sum(1)
    return {"loss": (seen * WEIGHTS[rows].to(seen)).sum() / PAIRS, "seen": seen.sum()}


def through_a_network(size: int, *, scale: float = 1.0, halved: bool = False) -> tuple[Tensor, Tensor, list[Tensor]]:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 1, 3).double()
    factor = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    maps = network(torch.rand(PAIRS, 3, 8, 8, dtype=torch.float64))
    found = in_chunks(term, [maps, factor], slices(PAIRS, size), scale=scale)
    (found["loss"] * (0.5 if halved else 1.0) + maps.mean()).backward()
    return found["loss"].detach(), found["seen"].detach(), [*(p.grad for p in network.parameters()), factor.grad]


@given(st.integers(1, PAIRS + 2), st.sampled_from([1.0, 1024.0]), st.booleans())
def test_gradients_are_exact(size: int, scale: float, halved: bool) -> None:
    whole, chunked = through_a_network(PAIRS, halved=halved), through_a_network(size, scale=scale, halved=halved)
    torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-12)


def test_only_one_graph_of_a_chunk_is_in_memory() -> None:
    sizes = []
    x = torch.rand(PAIRS, 5, requires_grad=True)

    class Alive(torch.autograd.Function):
        """Counts what autograd keeps."""

        alive = 0

        @staticmethod
        def forward(ctx, values):
            Alive.alive += len(values)
            sizes.append(Alive.alive)
            return values * 2

        @staticmethod
        def backward(ctx, outer):
            Alive.alive -= len(outer)
            return outer * 2

    in_chunks(lambda x, rows: {"loss": Alive.apply(x[rows]).sum()}, [x], slices(PAIRS, 3))["loss"].backward()
    assert sizes == [3, 3, 1]
    assert torch.equal(x.grad, torch.full_like(x, 2))


def test_no_pairs_and_no_gradients_are_fine() -> None:
    x = torch.rand(0, 5, requires_grad=True)
    nothing = in_chunks(lambda x, rows: {"loss": x[rows].sum()}, [x], [slice(0, 0)])
    assert nothing["loss"] == 0
    with torch.no_grad():
        value = in_chunks(lambda x, rows: {"loss": x[rows].sum()}, [torch.ones(4, 2, requires_grad=True)], slices(4, 3))
    assert value["loss"] == 8
    assert not value["loss"].requires_grad


def test_an_input_that_is_not_used_gets_no_gradient() -> None:
    used, unused = torch.ones(4, requires_grad=True), torch.ones(2, requires_grad=True)
    in_chunks(lambda a, b, rows: {"loss": a[rows].sum()}, [used, unused], slices(4, 1))["loss"].backward()
    assert torch.equal(used.grad, torch.ones(4))
    assert torch.equal(unused.grad, torch.zeros(2))


@pytest.mark.parametrize("size", [1, 3, 4])
def test_scalars_other_than_the_loss_carry_no_gradient(size: int) -> None:
    x = torch.ones(4, requires_grad=True)
    found = in_chunks(lambda x, rows: {"loss": x[rows].sum(), "shown": x[rows].max()}, [x], slices(4, size))
    assert not found["shown"].requires_grad


@given(st.integers(0, 400), st.integers(1, 70), st.integers(1, 8))
def test_chunks_are_few_balanced_and_not_too_large(count: int, size: int, multiple: int) -> None:
    multiple = min(multiple, size)
    sizes = balanced(count, size, multiple)
    assert sum(sizes) == count
    assert all(0 < each <= size for each in sizes)
    assert len(sizes) == -(-count // (size // multiple * multiple))
    assert all(each % multiple == 0 for each in sizes[:-1])
    filled = [-(-each // multiple) for each in sizes]
    assert not filled or max(filled) - min(filled) <= 1
