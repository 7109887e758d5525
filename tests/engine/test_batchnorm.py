"""Batch norm for several processes on CPUs; two processes are in `test_distributed.py`, here one is its own group."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import distributed, nn

from qaclims_path.engine.batchnorm import CpuSyncBatchNorm, _convert


@pytest.fixture
def group(tmp_path: Path) -> Iterator[distributed.ProcessGroup]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("norm", "size"),
    [
        (nn.BatchNorm2d(3), (4, 3, 5, 6)),
        (nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 6)),
        (nn.BatchNorm2d(3, affine=False), (4, 3, 5, 6)),
        (nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 6)),
        (BatchNormAct2d(3), (4, 3, 5, 6)),
        (nn.BatchNorm1d(3), (8, 3)),
    ],
)
def test_one_process_alone_has_the_values_gradients_and_statistics_of_torch(norm, size, group) -> None:
    network = nn.Sequential(norm)
    _convert(network, group)
    ours = network[0]
    assert isinstance(ours, CpuSyncBatchNorm)
    assert list(network.state_dict()) == [f"0.{name}" for name in norm.state_dict()]
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    found = []
    for each in (norm, ours):
        each.load_state_dict(before)  # both hold the same tensors
        values = (5 + 3 * torch.randn(size, generator=torch.Generator().manual_seed(0))).requires_grad_()
        out = [each.train()(values) for _ in range(2)][-1]
        out.square().sum().mul(0.1).add(out.exp().sum()).backward()
        state = [value.clone().double() for value in each.state_dict().values()]
        found.append([out, values.grad, each.eval()(values), *state])
    for torchs, own in zip(*found, strict=True):
        assert torch.allclose(torchs, own, rtol=1e-4, atol=1e-4)


def test_half_precision_is_summed_in_full(group) -> None:
    network = nn.Sequential(nn.BatchNorm2d(1))
    _convert(network, group)
    values = 100 + torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    out = network(values.bfloat16())
    assert out.dtype == torch.bfloat16
    assert abs(float(out.detach().float().mean())) < 1e-2
