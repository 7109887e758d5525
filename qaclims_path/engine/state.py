"""State of a training: its counters, and the conversion of everything to tensors and JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qaclims_path.engine.checkpoint import Facts, Tensors
from qaclims_path.engine.ema import MovingAverage
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.task import Stateful
from qaclims_path.errors import BadFile, UsageError


@dataclass
class TrainingState:
    """Numbers of the training loop that checkpoints keep.

    Attributes:
        step: Optimiser steps done.
        epochs: Epochs done, their callbacks included.
        usual: Running mean of the absolute loss.
        best: Best watched value so far.
        best_step: Step of the best value.
        waited: Epochs since the best value.
        means: Mean of each logged number over the last complete epoch.
        over: Why the training ended: `done` or `early` (stopped early); empty while it runs.
    """

    step: int = 0
    epochs: int = 0
    usual: float = 0.0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    over: str = ""
    means: dict[str, float] = field(default_factory=dict)

    def watch(self, value: float, *, more: bool) -> None:
        """Keep a watched value if it is the best so far; NaN never is."""
        better = self.best is None or (value > self.best if more else value < self.best)
        if value == value and better:
            self.best, self.best_step, self.waited = value, self.step, 0
        else:
            self.waited += 1

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "TrainingState":
        """Build from JSON, which also holds the sums of the epoch."""
        return cls(**{name: value for name, value in facts.items() if name != "sums"})


def snapshot(stepper: Stepper, ema: MovingAverage | None) -> tuple[dict[str, Mapping[str, Tensor]], Facts]:
    """Convert everything that a step depends on to groups of tensors and JSON."""
    task = stepper.task
    moments, optimizer = pack_optimizer(stepper.optimizer)
    parts: dict[str, Mapping[str, Tensor]] = {"weights": task.network.state_dict(), "optimizer": moments}
    if ema is not None:
        parts["mean"] = ema.weights
    if isinstance(task, Stateful):
        parts["task"] = task.state_dict()
    precision = stepper.precision
    return parts, {"optimizer": optimizer, "precision": precision.name, "scaler": precision.state_dict()}


def restore(
    stepper: Stepper, ema: MovingAverage | None, parts: Mapping[str, Tensors], facts: Facts, where: object
) -> None:
    """Load the result of `snapshot`; `where` names the checkpoint in errors."""
    task = stepper.task
    load_network(task.network, parts["weights"], where)
    unpack_optimizer(stepper.optimizer, parts["optimizer"], facts["optimizer"])
    if ema is not None:
        ema.load(parts["mean"])
    if isinstance(task, Stateful):
        task.load_state_dict(parts.get("task", {}))
    stepper.precision.load_state_dict(facts["scaler"])


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[Tensors, Facts]:
    """Convert an optimiser's state to tensors, named `<parameter index>.<name>`, and JSON."""
    state = optimizer.state_dict()
    tensors: Tensors = {}
    others: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                others[f"{index}.{name}"] = value
    return tensors, {"others": others, "groups": state["param_groups"]}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, facts: Facts) -> None:
    """Load an optimiser's state that `pack_optimizer` returned."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *facts["others"].items()]:
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    try:
        optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
    except ValueError as error:
        raise BadFile(f"The checkpoint's optimiser has other parameter groups than this one: {error}.") from error


def load_network(network: nn.Module, weights: Tensors, where: object) -> None:
    """Load weights into a network; an error names the first tensor that is missing or has another shape."""
    own = network.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise UsageError(f"{where} was made for another network: it has no '{name}'.")
        if weights[name].shape != value.shape:
            raise UsageError(
                f"{where} was made for another network or other classes: '{name}' is {_shape(weights[name])} there, "
                f"but {_shape(value)} here. Choose another --out, or give the same options as before."
            )
    more = sorted(set(weights) - set(own))
    if more:
        raise UsageError(f"{where} was made for another network: it also has '{more[0]}'.")
    network.load_state_dict(weights)


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape) or "a number"
