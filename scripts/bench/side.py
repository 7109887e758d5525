"""Time networks with side heads against the plain one: a training step, and maps of an image for inference.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/bench/side.py [--backbone mobilenetv2_100] [--batch 16] [--side 224]

Plain maps with random weights at stride 16, 3 classes, fp32. Processor time, which other programs do not lengthen much;
the networks take turns, and the ratios count. Before that, the maps for inference are asserted equal to those of the
trained network. The bar is that of side heads alone: a training step takes at most 1.6 times as long.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.timing import conditions, exit_with
from qaclims_path.engine.task import StepInfo
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.models.methods import build_method
from qaclims_path.pipeline.cam.options import SideOptions
from qaclims_path.pipeline.cam.plan import PLAN, Planner
from qaclims_path.pipeline.cam.task import CamTask

CLASSES = "tumor", "stroma", "normal"
STAGES = (2, 3)
NETWORKS = {
    "plain": SideOptions(),
    "side heads": SideOptions(stages=STAGES),
    "side heads, gate": SideOptions(stages=STAGES, gate=True),
    "side heads, context of 15 cells": SideOptions(stages=STAGES, context=15),
}
BAR = 1.6


def build(backbone: str, side: SideOptions) -> CamNet:
    """Build a network with random weights and channels-last memory, as trainings do."""
    torch.manual_seed(0)
    return CamNet(backbone, CLASSES, side=side.spec).to(memory_format=torch.channels_last)


def training(asked: argparse.Namespace, side: SideOptions) -> Callable[[], object]:
    """Return a training step: losses, gradients and the optimiser."""
    network = build(asked.backbone, side).train()
    task = CamTask(network, build_method("cam", {}, "bench"), head_losses=side.loss_weights)
    optimizer = torch.optim.AdamW(task.parameter_groups(1e-4))  # type: ignore[arg-type]
    present = torch.arange(asked.batch)[:, None] % len(CLASSES) == torch.arange(len(CLASSES))
    ids = [str(number) for number in range(asked.batch)]
    batch = {
        "image": torch.rand(asked.batch, 3, asked.side, asked.side).contiguous(memory_format=torch.channels_last),
        "present": present,
        "known": torch.ones_like(present),
        "id": ids,
        PLAN: Planner(dict).plan(ids, present),
    }
    info = StepInfo(0, 1, 0, task.counts(batch))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        task.step(batch, info)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def inferring(asked: argparse.Namespace, side: SideOptions) -> Callable[[], object]:
    """Return maps of a batch by the network for inference, which is asserted to compute the same."""
    network = build(asked.backbone, side).eval()
    fast = for_inference(network, torch.device("cpu"))
    images = torch.rand(asked.batch, 3, asked.side, asked.side).contiguous(memory_format=torch.channels_last)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            maps: torch.Tensor = fast(images).maps
            return maps

    with torch.inference_mode():
        wanted = network(images).maps
    assert (run() - wanted).norm() < 1e-3 * wanted.norm(), "the network for inference computes something else"
    return run


def medians(works: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Return median processor seconds of each; they take turns, after one run each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(runs + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if number:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    for name, default in (("batch", 16), ("side", 224), ("runs", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    print(conditions("torch", "timm", threads=f"{torch.get_num_threads()} threads"))
    print(f"{asked.backbone}, {asked.batch} images of {asked.side} px, medians of {asked.runs}\n")
    found = {
        make.__name__: medians({name: make(asked, side) for name, side in NETWORKS.items()}, asked.runs)
        for make in (training, inferring)
    }
    print("| network | training step, ms per image | of plain | maps, ms per image | of plain |\n|---|---|---|---|---|")
    for name in NETWORKS:
        cells = []
        for times in found.values():
            cells += [f"{1000 * times[name] / asked.batch:.0f}", f"{times[name] / times['plain']:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    ratio = found["training"]["side heads"] / found["training"]["plain"]
    exit_with([f"side heads {ratio:.2f}"] if ratio > BAR else [])


if __name__ == "__main__":
    main()
