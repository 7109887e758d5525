"""The engine itself waits once in a step, in every precision, however many micro-batches and numbers there are."""

import pytest
import torch
from torch import Tensor, nn

from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.sums import Sums

GPU = torch.device("cuda", 0)
OPTIONS = TrainOptions(batch=8, accumulate=2, clip=1.0)


class OnGpu(Processes):
    """One process with the pretended GPU."""

    device = GPU


class Numbers:
    """Task that returns a loss and many numbers."""

    def __init__(self) -> None:
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        return [{"params": list(self.network.parameters())}]

    def step(self, batch, info) -> dict[str, Tensor]:
        logits = self.network(batch["image"])
        return {"loss": logits.square().mean(), **{f"number {n}": logits.mean() for n in range(9)}}


def waits(gpu) -> int:
    """Waits; torch's norm of gradients moves numbers to the device where they are, which is none."""
    return sum(count for where, count in gpu.waits.items() if not where.startswith("engine/optim.py"))


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_step_waits_once_and_sums_never_wait(gpu, name: str) -> None:
    task = Numbers()
    alone = launch(RunSettings(devices=1, accelerator="cpu"))
    processes = OnGpu(alone.fabric, alone.running)
    task.network.to(GPU)
    stepper = Stepper(task, build_optimizer(task, OPTIONS), Precision(name, GPU), OPTIONS, processes, 9, 4)
    sums = Sums(GPU)

    def run(step: int, *, logged: bool) -> None:
        micro_batches = [{"image": torch.rand(4, 3, 8, 8).pin_memory()} for _ in range(2)]
        result = stepper.backward(micro_batches, step, 0, logged=logged)
        stepper.update(step, result.norm)
        sums.add(result.numbers)

    run(0, logged=False)  # the first numbers make room for their sums
    for step, logged in enumerate((False, True), start=1):
        gpu.clear()
        run(step, logged=logged)
        assert (waits(gpu), gpu.copies.total(), gpu.mixes.total()) == (1, 0, 0), str(gpu)
    gpu.clear()
    assert sums.read()["number 8"][1] == 3
    assert waits(gpu) == 1
