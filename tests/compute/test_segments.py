"""Ragged reductions against loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.segments import (
    counts,
    segment_logsumexp,
    segment_mean,
    segment_softmean,
    segment_sum,
)

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=8)


@settings(max_examples=60)
@given(LENGTHS, st.integers(0, 2**31))
def test_reductions_equal_loops(lengths: list[int], seed: int) -> None:
    size, total = len(lengths), sum(lengths)
    values = 3 * torch.randn(total, generator=torch.Generator().manual_seed(seed))
    owner = torch.arange(size).repeat_interleave(torch.tensor(lengths))
    parts = values.split(lengths)
    assert counts(owner, size).tolist() == lengths
    slow = {
        segment_sum: lambda part: part.sum(),
        segment_mean: lambda part: part.mean() if len(part) else torch.tensor(0.0),
        segment_logsumexp: lambda part: part.logsumexp(0),
    }
    for fast, twin in slow.items():
        torch.testing.assert_close(fast(values, owner, size), torch.stack([twin(part) for part in parts]))


def test_gradients_of_logsumexp_are_right_with_an_owner_without_values() -> None:
    owner = torch.tensor([0, 0, 2])

    def reduce(values: torch.Tensor) -> torch.Tensor:
        return segment_logsumexp(values, owner, 3)[[0, 2]]

    values = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    reduce(values).sum().backward()
    expected = torch.tensor([0.3, -0.2]).softmax(0).tolist()
    torch.testing.assert_close(values.grad, torch.tensor([*expected, 1.0]))


def test_the_soft_mean_lies_between_mean_and_largest() -> None:
    values, owner = torch.tensor([0.1, 0.5, 0.3]), torch.tensor([0, 0, 1])
    results = [segment_softmean(values, owner, 3, sharpness)[0].item() for sharpness in (0, 1, 10, 1000)]
    assert results == sorted(results)
    assert abs(results[0] - 0.3) < 1e-6
    assert abs(results[-1] - 0.5) < 1e-3
    assert segment_softmean(values, owner, 3, 10)[1:].tolist() == [torch.tensor(0.3).item(), 0]


def test_rows_are_summed_per_owner() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16)
    assert segment_mean(rows, torch.tensor([1, 1]), 2).tolist() == [[0, 0], [2, 3]]
