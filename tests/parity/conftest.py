"""Arrays that the released implementations made, and weights by rule, the same in their networks and in ours."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Unit = Sequence[nn.Module]
HERE = Path(__file__).parent
CONVOLUTION, BIAS, SCALE, SHIFT, MEAN, VARIANCE = range(6)  # kinds of tensors


@torch.no_grad()
def fill(units: Iterable[Unit], seed: int) -> int:
    """Give the convolutions and norms of every unit their weights; returns the number of units."""
    number = -1
    for number, unit in enumerate(units):
        for module in unit:
            for kind, tensor in _tensors(module):
                tensor.copy_(_values(tensor, 100_000 * seed + 10 * number + kind, kind))
    return number + 1


def normalised(pixels: np.ndarray) -> Tensor:
    """Convert N H W 3 bytes to N 3 H W pixels, normalised with ImageNet's mean and deviation in float64."""
    scaled = (pixels / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))


def relative(found: Tensor, wanted: np.ndarray) -> float:
    """Return the largest difference as a share of the largest value of the reference."""
    return float((found.detach().double() - torch.from_numpy(wanted)).abs().max() / np.abs(wanted).max())


def _tensors(module: nn.Module) -> list[tuple[int, Tensor]]:
    if isinstance(module, nn.Conv2d):
        return [(CONVOLUTION, module.weight), *([] if module.bias is None else [(BIAS, module.bias)])]
    found = [(SCALE, module.weight), (SHIFT, module.bias)]
    return [*found, (MEAN, module.running_mean), (VARIANCE, module.running_var)] if _moves(module) else found


def _moves(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


def _values(tensor: Tensor, seed: int, kind: int) -> Tensor:
    drawn = np.random.RandomState(seed).uniform(-1, 1, tensor.numel()).reshape(tuple(tensor.shape))
    if kind == CONVOLUTION:
        drawn = 0.7 * math.sqrt(6 / (tensor[0].numel())) * drawn
    elif kind in (BIAS, SHIFT, MEAN):
        drawn = 0.1 * drawn
    else:
        drawn = 1 + 0.2 * drawn
    return torch.from_numpy(drawn.astype(np.float32))


@pytest.fixture(scope="session")
def arrays() -> Callable[[str], Mapping[str, np.ndarray]]:
    """Read a file of arrays by its name."""
    return lambda name: np.load(HERE / f"{name}.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def rule() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(fill=fill, normalised=normalised, relative=relative)
