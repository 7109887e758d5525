"""Buckets of gradients are sent in a fixed order during the backward pass; test_distributed.py has two processes."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qaclims_path.engine import gradients
from qaclims_path.engine.gradients import GradientAverage

TWO = SimpleNamespace(size=2)  # the processes; the sum below is that of this one and of one with zeros


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Buckets that were sent, one per parameter."""
    buckets: list[torch.Tensor] = []

    def all_reduce(flat: torch.Tensor, *, async_op: bool) -> SimpleNamespace:
        assert async_op
        buckets.append(flat)
        return SimpleNamespace(wait=lambda: None)

    monkeypatch.setattr(gradients.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(gradients, "BUCKET", 1)
    return buckets


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 5, 3, bias=False), nn.Conv2d(5, 6, 3, bias=False)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def test_the_last_layer_is_sent_before_the_first_has_a_gradient(sent: list, network: nn.Module) -> None:
    average = GradientAverage([*network.parameters()], TWO)
    before_first = []
    network[0].weight.register_hook(lambda _: before_first.append(len(sent)))
    with average.sent_when_full():
        network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert (before_first, [len(flat) for flat in sent]) == ([2], [270, 180, 108])
    assert average.finish().tolist() == [1, 1, 1]


def test_gradients_are_means_in_the_memory_order_of_their_parameters(sent: list, network: nn.Module) -> None:
    images = torch.rand(2, 3, 8, 8)
    network(images).square().mean().backward()
    expected = [parameter.grad.clone() / 2 for parameter in network.parameters()]
    network.zero_grad()
    average = GradientAverage([*network.parameters()], TWO)
    for last in (False, True):  # two micro-batches
        with average.sent_when_full() if last else torch.enable_grad():
            (network(images).square().mean() / 2).backward()
        assert bool(sent) == last
    average.finish()
    for parameter, mean in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, mean)
        assert parameter.grad.stride() == parameter.stride()


def test_a_later_bucket_waits_for_one_without_a_gradient(sent: list, network: nn.Module) -> None:
    average = GradientAverage([*network.parameters()], TWO)
    with average.sent_when_full():
        network[:2](torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert sent == []  # the last layer, which is first in order, is not used
    assert average.finish().tolist() == [1, 1, 0]
    assert [len(flat) for flat in sent] == [270, 180, 108]
    assert not network[2].weight.grad.any()
    average.drop_unused([2, 1, 0])
    assert [parameter.grad is None for parameter in network.parameters()] == [False, False, True]


def test_small_parameters_share_a_bucket_of_one_type(sent: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "BUCKET", 12)
    parameters = [nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in [torch.float64, *[torch.float32] * 4]]
    GradientAverage(parameters, TWO).finish()
    assert [(len(flat), flat.dtype) for flat in sent] == [
        (4, torch.float32),
        (4, torch.float32),
        (2, torch.float64),
    ]
