"""The running mean of weights, which often beats the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean:
    """Mean of a network's weights that forgets by a decay; whatever is no floating number is copied.

    In its first steps it forgets faster, so that the random start does not linger.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after an optimiser step."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, weight)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """Let the network have these weights for the length of a block."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take the mean from a checkpoint."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
