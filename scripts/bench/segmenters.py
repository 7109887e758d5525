"""Measure time and memory of the released segmenters per image on a CPU: prediction, and a training step.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/bench/segmenters.py [--side 321] [--runs 3]

Random weights, 21 classes, one image. Processor time, which other programs do not lengthen much; a process per line, so
that its peak of memory is its own.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.timing import conditions
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.engine.stepper import Stepper
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import BACKGROUND, Channel, SegmenterSpec
from qaclims_path.pipeline.segmenter.options import SegLossOptions
from qaclims_path.pipeline.segmenter.task import SegTask

CLASSES = 20
NETWORKS = {
    "DeepLabV2, ResNet-101, one scale": ("deeplabv2", "resnet101_caffe", [], "frozen"),
    "DeepLabV2, ResNet-101, as released": ("deeplabv2", "resnet101_caffe", [0.5, 0.75], "frozen"),
    "DeepLabV1, WideResNet-38, as released": ("deeplabv1", "wideresnet38", [], "moving"),
    "DeepLabV1, WideResNet-38, as QA-CLIMS": ("deeplabv1", "wideresnet38", [0.5, 0.75], "moving"),
}


def build(name: str) -> Segmenter:
    """Build a segmenter with random weights."""
    architecture, encoder, scales, _ = NETWORKS[name]
    names = [*(f"class {number}" for number in range(CLASSES)), BACKGROUND]
    channels = tuple(Channel(each, each, (0, 0, code), code) for code, each in enumerate(names))
    torch.manual_seed(0)
    return Segmenter(SegmenterSpec(architecture, find_backbone(encoder), channels, {"scales": scales}))


def predicting(name: str, side: int) -> Callable[[], object]:
    """Return a prediction of one image."""
    segmenter, images = build(name).eval(), torch.rand(1, 3, side, side)

    def work() -> object:
        with torch.inference_mode():
            return segmenter(images)

    return work


def training(name: str, side: int) -> Callable[[], object]:
    """Return an optimiser step on one image, with its optimiser and losses as released."""
    segmenter, processes = build(name), launch(RunSettings(accelerator="cpu", devices=1))
    options = TrainOptions(batch=1, lr=2.5e-4, weight_decay=5e-4, batchnorm=NETWORKS[name][-1])
    training_mode(segmenter, options)
    task = SegTask(segmenter, SegLossOptions(terms={"ce": 1.0}, size="logits"), None, 10.0)
    optimizer, precision = build_optimizer(task, options), Precision("fp32", processes.device)
    stepper = Stepper(task, optimizer, precision, options, processes, 20_000, micro_batch=1)
    labels = torch.randint(0, CLASSES + 1, (1, side, side), dtype=torch.uint8)
    batch = {
        "image": torch.rand(1, 3, side, side),
        "planes": torch.stack([labels, torch.full_like(labels, 255)], dim=1),
        "pixels": torch.bincount(labels.flatten(), minlength=256).float(),
    }
    return lambda: stepper.update(0, stepper.backward([batch], 0, 0).norm)


def measured(make: Callable[[str, int], Callable[[], object]], name: str, side: int, runs: int) -> None:
    """Print one row."""
    work, seconds = make(name, side), []
    for _ in range(runs + 1):  # the first is not counted
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    found, spread = statistics.median(seconds[1:]), max(seconds[1:]) - min(seconds[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"| {name} | {make.__name__} | {found:.1f} s | {spread:.1f} s | {peak:.1f} GiB |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=321)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    print(conditions("torch", threads=f"{torch.get_num_threads()} threads"), f"; one image of {asked.side} px")
    print("| network | work | median | spread | peak of the process |\n|---|---|---|---|---|", flush=True)
    for name in NETWORKS:
        for make in (predicting, training):
            given = (make, name, asked.side, asked.runs)
            process = multiprocessing.get_context("spawn").Process(target=measured, args=given)
            process.start()
            process.join()


if __name__ == "__main__":
    main()
