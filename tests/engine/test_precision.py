"""Scale of the loss in fp16, and the choice of a precision where memory is short."""

import math

import pytest
import torch
from torch import nn

from qaclims_path.engine.distributed import launch
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import GROW_AFTER, Precision
from qaclims_path.engine.probe import choose_precision, half_precision
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.stepper import Stepper

CPU = torch.device("cpu")
OPTIONS = TrainOptions(batch=4)


def torch_scales(overflows: list[bool]) -> list[float]:
    """Scales of torch's own scaler after steps whose gradient overflowed or not."""
    scaler, weight = torch.amp.GradScaler("cpu"), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scales = []
    for overflow in overflows:
        scaler.scale(weight.sum()).backward()
        weight.grad.fill_(math.inf if overflow else 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
    return scales


def test_the_scale_follows_the_rule_of_torch() -> None:
    overflows = [True, False, True, *[False] * GROW_AFTER, False, True]
    precision, scales = Precision("fp16", CPU), []
    for overflow in overflows:
        precision.adapt(overflow=overflow)
        scales.append(precision.scale)
    assert scales == torch_scales(overflows)


def test_the_scale_of_a_torch_scaler_is_continued() -> None:
    scaler, precision = torch.amp.GradScaler("cpu", init_scale=8.0), Precision("fp16", CPU)
    precision.load_state_dict(scaler.state_dict())
    assert precision.scale == 8.0
    full = Precision("fp32", CPU)
    full.load_state_dict(scaler.state_dict())
    assert (full.scale, full.state_dict()) == (1.0, {})


def make_stepper(task, toy, name: str) -> Stepper:
    processes = launch(toy.running())
    return Stepper(task, build_optimizer(task, OPTIONS), Precision(name, CPU), OPTIONS, processes, 10, 4)


def test_an_overflow_in_fp16_changes_the_scale_and_no_weight(toy) -> None:
    task = toy.Sorting(dropout=0.0)
    stepper = make_stepper(task, toy, "fp16")
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    stepper.optimizer.zero_grad()
    task.network[6].weight.grad = torch.full_like(task.network[6].weight, math.inf)
    stepper.update(0, math.inf)
    assert all(torch.equal(value, before[name]) for name, value in task.network.named_parameters())
    assert stepper.precision.scale == 2.0**15


def batch_of(toy) -> dict[str, torch.Tensor]:
    items = [toy.Squares()[index] for index in range(4)]
    return {name: torch.stack([item[name] for item in items]) for name in ("image", "bright")}


def test_gradients_are_those_without_a_scale(toy) -> None:
    """On the CPU, the same operations run under fp16 with both scales."""
    found = []
    for scale in (1.0, 2.0**10):
        task = toy.Sorting(dropout=0.0)
        stepper = make_stepper(task, toy, "fp16")
        stepper.precision.scale = scale
        torch.manual_seed(0)
        stepper.backward([batch_of(toy)], 0, 0)
        found.append(task.network[6].weight.grad.clone())
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-4)


def fail_in(task, *names: str) -> None:
    """Make the steps of a task run out of memory in some precisions."""
    own = task.step

    def step(batch, info):
        name = {True: "bf16", False: "fp32"}[torch.is_autocast_enabled("cpu")]
        if name in names:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(batch, info)

    task.step = step


def test_the_precision_that_fits_into_memory_is_chosen(toy) -> None:
    task = toy.Sorting()
    fail_in(task, "fp32")
    chosen = choose_precision(make_stepper(task, toy, "fp32"), batch_of(toy))
    assert chosen == ("bf16", "precision auto: bf16 (fp32 does not fit into memory)")
    task = toy.Sorting()
    fail_in(task, "bf16")
    assert choose_precision(make_stepper(task, toy, "fp32"), batch_of(toy))[0] == "fp32"


def test_a_step_that_fits_in_no_precision_says_what_to_lower(toy) -> None:
    task = toy.Sorting()
    fail_in(task, "fp32", "bf16")
    with pytest.raises(OutOfMemory, match=r"neither in fp32 nor in bf16\. Set accumulate to \d \(now 1"):
        choose_precision(make_stepper(task, toy, "fp32"), batch_of(toy))


@pytest.mark.parametrize(("has_bf16", "name"), [(True, "bf16"), (False, "fp16")])
def test_fp16_is_tried_on_gpus_without_bf16(monkeypatch: pytest.MonkeyPatch, name: str, *, has_bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert half_precision(torch.device("cuda")) == name
    assert half_precision(CPU) == "bf16"
