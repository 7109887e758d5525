"""Exponential moving average (EMA) of weights, which often scores higher than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of a network's floating-point state; integers are copied.

    The decay of step t is min(decay, (1 + t) / (10 + t)), so the average leaves the random initial weights quickly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Add the weights after optimiser step `step`."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, weight)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights inside a `with` block."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Load the average from a checkpoint."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
