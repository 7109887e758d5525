"""Measure the share of a model's speed that `segment` reaches, and whether memory grows with the slide.

    .venv/bin/python scripts/bench/segment.py [--side 3072] [--encoder resnet18] [--threads 1]

Speed: a U-Net on a small encoder, so that everything else has a large share, after a few steps of training on painted
tissue, so that its maps are realistic. `segment_one` takes a phantom slide from its file to class map, confidence,
outlines and overlay; the model alone gets the same batches of tiles, already in memory. They take turns; medians of
wall time and of processor time (all threads).

Memory: the peak resident size in a separate process, less that before the slide, for slides of equal width.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qaclims_path.data.phantoms.slide import PhantomSpec, paint_slide
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.pipeline.inference.inputs import SegmentInputs, SegmentTask, collect
from qaclims_path.pipeline.inference.model import SegmentModel, TileScores
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.slides import segment_one

ROUNDS, STEPS, BATCH = 3, 40, 4
GOAL = 0.9  # share of the speed of the model alone
WIDTH, HEIGHTS, ALLOWED = 1024, (2048, 16384), 64  # pixels, pixels, MiB between the two
TRIES = 3  # runs per slide; the lowest counts, because threads add memory by chance
CLASSES = (("tumor", (200, 30, 30)), ("stroma", (60, 160, 75)), ("lymphocyte", (70, 90, 200)),
           ("necrosis", (240, 180, 30)))  # fmt: skip


class Recording(SegmentModel):
    """Keeps its batches."""

    batches: list[NDArray[np.uint8]]

    def of_tiles(self, factor: float = 1.0) -> TileScores:
        """Predict as the model, and keep the tiles."""
        plain, self.batches = super().of_tiles(factor), []

        class Kept(TileScores):
            def __call__(_, tiles: NDArray[np.uint8]) -> torch.Tensor:  # noqa: N805 - `self` is the model
                self.batches.append(tiles)
                return plain(tiles)

        return Kept(plain.predict, glass=plain.glass)


def taught(encoder: str, folder: Path, steps: int = STEPS) -> Path:
    """Train a segmenter for a few steps on painted tissue."""
    torch.manual_seed(0)
    channels = tuple(Channel(name, name, color, code) for code, (name, color) in enumerate(CLASSES))
    about = {"domain": "pathology", "dataset": "phantom"}
    segmenter = Segmenter(SegmenterSpec("unet", find_backbone(encoder), channels, {}, 0.5, about)).train()
    optimiser = torch.optim.AdamW(segmenter.parameters(), lr=2e-3)
    painted = [paint_slide(seed, (128, 128), patient=f"FK-{seed % 4:04d}") for seed in range(48)]
    images = torch.stack([torch.from_numpy(pixels) for pixels, _ in painted]).permute(0, 3, 1, 2).float() / 255
    codes = torch.stack([torch.from_numpy(codes) for _, codes in painted]).long()
    for step in range(steps):
        some = torch.arange(step * 8, step * 8 + 8) % len(painted)
        loss = F.cross_entropy(segmenter(images[some]), codes[some], ignore_index=len(CLASSES))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    segmenter.eval().save_pretrained(folder)
    return folder


def task_of(slide: Path, out: Path, options: SegmentOptions) -> SegmentTask:
    """Return the task of one slide."""
    [task], _ = collect(SegmentInputs((str(slide),)), out, options)
    return task


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of wall and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def speed(model: Path, side: int, folder: Path) -> bool:
    """Print the table of speeds; return whether the limit is reached in processor time."""
    slide = write_slide(folder, "square", PhantomSpec(7, side, side)).slide
    options = SegmentOptions(precision="fp32")
    looks = Recording(model, options, "cpu")
    predict = looks.of_tiles().predict

    def complete() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        segment_one(task_of(slide, folder / "out", options), looks, BATCH)

    complete()  # compiles
    batches = list(looks.batches)

    def bare() -> None:
        for tiles in batches:
            predict(tiles)

    runs: dict[str, list[tuple[float, float]]] = {"bare": [], "complete": []}
    for _ in range(ROUNDS):
        runs["bare"].append(timed(bare))
        runs["complete"].append(timed(complete))
    tiles = sum(map(len, batches))
    (wall, processor), (wall_all, processor_all) = (
        tuple(statistics.median(column) for column in zip(*runs[name], strict=True)) for name in ("bare", "complete")
    )
    print(f"| {tiles} tiles of 512 px, {side} x {side} px slide | model alone | `segment` | share of its speed |")
    print("|---|---|---|---|")
    print(f"| wall time | {tiles / wall:.2f} tiles/s | {tiles / wall_all:.2f} tiles/s | {wall / wall_all:.1%} |")
    print(f"| processor time | {processor:.2f} s | {processor_all:.2f} s | {processor / processor_all:.1%} |\n")
    return bool(processor / processor_all >= GOAL)


def highest() -> float:
    """Return the peak MiB since `clear_refs` was written. Linux only."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def memory_of(model: Path, slide: Path, folder: Path) -> None:
    """Print the MiB that one slide needs, in a fresh process."""
    options = SegmentOptions(precision="fp32")
    looks = SegmentModel(model, options, "cpu")
    looks.of_tiles()(np.zeros((BATCH, 512, 512, 3), np.uint8))
    Path("/proc/self/clear_refs").write_text("5")
    before = highest()
    segment_one(task_of(slide, folder, options), looks, BATCH)
    print(f"{highest() - before:.0f}")


def memory(model: Path, folder: Path, threads: int) -> bool:
    """Print the memory of a short and a tall slide; return whether they are similar."""
    found = []
    for height in HEIGHTS:
        slide = write_slide(folder, f"tall{height}", PhantomSpec(7, WIDTH, height)).slide
        command = [sys.executable, __file__, "--threads", str(threads), "--memory-of", model, slide]
        said = (subprocess.run([*map(str, command)], check=True, capture_output=True, text=True) for _ in range(TRIES))
        tries = [int(each.stdout.split()[-1]) for each in said]
        found.append(min(tries))
        print(f"{WIDTH} x {height} pixels: {', '.join(map(str, tries))} MiB above the loaded model.")
    return found[1] - found[0] <= ALLOWED


def main() -> None:
    """Measure speed and memory, and print both."""
    parser = argparse.ArgumentParser(description="The share of a model's speed that `segment` reaches, and its memory.")
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", nargs=2, type=Path, help="measure only the memory of a model and a slide")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.memory_of:
            model, slide = options.memory_of
            memory_of(model, slide, folder)
            return
        packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "timm", "tifffile"))
        print(f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
        print(f"U-Net on {options.encoder}, fp32, {options.threads} thread(s) for the model, batches of {BATCH}\n")
        model = taught(options.encoder, folder / "model")
        reached = [speed(model, options.side, folder), memory(model, folder, options.threads)]
    sys.exit(0 if all(reached) else "bars not reached")


if __name__ == "__main__":
    main()
