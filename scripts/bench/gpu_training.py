"""Training steps for `gpu.py`: each command of the package prepares its training, which is then measured, not run."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor

from bench.gpu_data import TEST, Painted
from bench.gpu_measure import Meter, Row, Work
from qaclims_path.engine.guards import StopRequest
from qaclims_path.engine.network import to_device
from qaclims_path.engine.sampling import batches
from qaclims_path.engine.settings import RunSettings
from qaclims_path.engine.task import Batch
from qaclims_path.engine.training import Training
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.plan import PLAN
from qaclims_path.pipeline.cam.task import CamTask
from qaclims_path.pipeline.cam.train import train_cam
from qaclims_path.pipeline.segmenter.options import load_seg_options
from qaclims_path.pipeline.segmenter.task import SegTask
from qaclims_path.pipeline.segmenter.train import train_seg

EPOCHS = 1000  # more than are measured
LOADED = 16  # images that the parts of the loader are timed on


class Measured(Exception):
    """Leaves a command once its training is measured."""


def cam_row(
    meter: Meter, method: str, judge: str | None, painted: Painted, batch: int, backbone: str, running: RunSettings
) -> Row:
    """Measure the step of a method; the judge is the name of a model of open_clip."""
    settings = [
        f"cam.network.backbone={backbone}",
        f"cam.augment.size={painted.size}",
        f"cam.train.batch={batch}",
        f"cam.train.epochs={EPOCHS}",
        "cam.init.start=none",
        *([f"judge.id=random:{judge}"] if judge else []),
        *(["cam.losses.ramp=[0,0]"] if method == "qa-clims-path" else []),  # language from the first step on
    ]
    options = load_options(f"phantom/{method}", settings)
    what = f"`{method}`{f', {judge}' if judge else ''}, {painted.size} px, batch {batch}"

    def begin(out: Path) -> object:
        return train_cam(options, painted.root, out, corpus=painted.corpus, running=running)

    return begun(begin, painted.root, lambda training: row_of(meter, what, training))


def segmenter_row(meter: Meter, painted: Painted, batch: int, encoder: str, running: RunSettings) -> Row:
    """Measure the step of a segmenter, on true masks."""
    settings = [
        f"seg.network.encoder={encoder}",
        "seg.network.weights=none",
        f"seg.augment.size={painted.size}",
        f"seg.train.batch={batch}",
        f"seg.train.epochs={EPOCHS}",
        "seg.truth=true",
        f"seg.split={TEST}",
    ]
    options = load_seg_options("phantom/cam", settings)
    what = f"segmenter ({options.network.architecture}), {painted.size} px, batch {batch}"
    return begun(
        lambda out: train_seg(options, painted.root, out, running=running),
        painted.root,
        lambda training: row_of(meter, what, training),
    )


def begun(begin: Callable[[Path], object], root: Path, measure: Callable[[Training], Row]) -> Row:
    """Let a command prepare its training in a new folder, and measure it where the command would run it."""
    found: list[Row] = []

    def run(training: Training, *_: object) -> None:
        found.append(measure(training))
        raise Measured

    out = next(
        path for path in (root.with_name(f"{root.name}-run-{number}") for number in count()) if not path.exists()
    )
    with patch.object(Training, "run", run), suppress(Measured):
        begin(out)
    return found[0]


def row_of(meter: Meter, what: str, training: Training) -> Row:
    """Measure a prepared training: its step, with a batch in memory and with loading, and its models alone."""
    stream, request = endless(training), StopRequest()
    held = next(stream)
    return meter.row(
        what,
        lambda: training._run_step(held, request),
        models_of(training, held),
        whole=lambda: training._run_step(next(stream), request),
        kind="step",
        images=training.plan.batch,
        compiled=training.processes.running.compile,
        loader_ms=loader_ms(training),
    )


def endless(training: Training) -> Iterator[list[Batch]]:
    """Yield the micro-batches of step after step, in as many epochs as it takes."""
    for epoch in count():
        training.plan.at(epoch, 0)
        yield from batches(training.loader, training.plan.accumulate)


def models_of(training: Training, micro_batches: Sequence[Batch]) -> Work:
    """Return the models' work in a step: the network there and back, and the judge back to its views."""
    task = training.task
    assert isinstance(task, CamTask | SegTask)
    [micro_batch] = micro_batches
    batch: dict[str, Any] = {name: to_device(value, training.processes) for name, value in micro_batch.items()}
    images, autocast = task.augment(batch), training.stepper.precision.autocast
    views = views_of(task, batch) if isinstance(task, CamTask) and task._teacher else []

    def network() -> Tensor:
        made = [task.maps(images).maps] if isinstance(task, CamTask) else task.segmenter.training_logits(images)
        return torch.stack([each.float().sum() for each in made]).sum()

    def run() -> None:
        task.network.zero_grad(set_to_none=True)
        with autocast():
            loss = network()
        loss.backward()  # type: ignore[no-untyped-call]
        for each in views:
            with autocast():
                looked = cast("CamTask", task)._teacher.judge.encode_images(each.requires_grad_())  # type: ignore[union-attr]
            torch.autograd.grad(looked.sum(), each)

    return run


def views_of(task: CamTask, batch: Batch) -> list[Tensor]:
    """Return as many pixels as the judge sees in a step, chunk by chunk: a foreground and a background per pair."""
    assert task._teacher is not None
    judge = task._teacher.judge
    side = judge.card.input_size
    pairs = [len(chunk.image) for chunk in batch[PLAN].chunks()]
    return [torch.randn(2 * each, 3, side, side, device=judge.device) for each in pairs]


def loader_ms(training: Training) -> dict[str, float]:
    """Return the milliseconds of processor time per image, by part of the loader."""
    seeded = cast("Any", training.loader.dataset)
    windows = seeded.source
    few = range(min(LOADED, len(windows)))

    def each(work: Callable[[], object]) -> float:
        work()
        start = time.process_time()
        work()
        return 1000 * (time.process_time() - start) / len(few)

    decode = each(lambda: [windows.source.decoded(index) for index in few])
    window = each(lambda: [seeded[0, index] for index in few])
    loaded = [seeded[0, index] for index in few]
    collate = each(lambda: cast("Any", training.loader.collate_fn)(loaded))
    return {"decode": decode, "draw and cut": max(0.0, window - decode), "collate and plan": collate}
