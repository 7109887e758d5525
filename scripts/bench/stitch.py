"""Time the merging of predicted tiles against MONAI's `AvgMerger`, and measure the memory of a 30 000 pixel slide.

    .venv/bin/python scripts/bench/stitch.py [--side 30000]

Merging: tiles of 256 pixels with 5 classes, already in memory, to a map of 4096 x 4096, with equal weights as AvgMerger
has no others. Class maps are asserted equal, and mean probabilities equal up to rounding. Ours returns class and
confidence; AvgMerger returns mean probabilities, so it is timed alone and with the argmax that makes a class map. They
take turns; medians of wall time.

Slide: a synthetic slide (a repeated painted patch) with a disc of tissue, through `segment_slide` with overlapping
tiles of 512 pixels, a Gaussian window and a colour classifier, to OME-TIFF files and to polygons. It runs in a separate
process; memory is the peak resident size less that after imports.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from monai.inferers.merger import AvgMerger
from numpy.typing import NDArray

from qaclims_path.compute.blending import TileBand, window_weights
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.maps.export import write_regions
from qaclims_path.slides.maps.label_tiff import Label
from qaclims_path.slides.maps.stitch import Blend
from qaclims_path.slides.maps.write import segment_slide
from qaclims_path.slides.reader import Slide
from qaclims_path.types import Level, SlideInfo

ROUNDS = 5
SIDE, TILE, CLASSES = 4096, 256, 5
GOAL, MEMORY = 5.0, 1024  # times AvgMerger's speed; MiB
PATCH = 2048
Tiles = list[NDArray[np.float32]]
Corners = list[tuple[int, int]]


class Wallpaper:
    """A slide of any size without a file: one painted patch, repeated."""

    def __init__(self, side: int) -> None:
        self.patch = paint_slide(3, (PATCH, PATCH))[0]
        whole = (0, 0, side, side)
        self.info = SlideInfo(
            "wallpaper", side, side, (Level(side, side, 1.0),), (0.5, 0.5), None, (255,) * 3, whole, (), "bench", ""
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return the pixels of a region."""
        del level
        rows, columns = (np.arange(start, start + length) % PATCH for start, length in ((y, height), (x, width)))
        return self.patch[rows[:, None], columns]

    def associated(self, name: str) -> NDArray[np.uint8]:
        """Refuse: there are no associated images."""
        raise NotImplementedError(name)

    def close(self) -> None:
        """Do nothing."""


def ours(tiles: Tiles, corners: Corners) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Merge with this package to class map and confidence."""
    band = TileBand(SIDE, CLASSES, window_weights("flat", TILE))
    codes, confidence = np.empty((SIDE, SIDE), np.uint8), np.empty((SIDE, SIDE), np.uint8)

    def take(until: int) -> None:
        while band.top < until:
            rows = slice(band.top, min(band.top + TILE, until))
            codes[rows], confidence[rows] = band.take(rows.stop - rows.start, 255)

    for tile, (left, top) in zip(tiles, corners, strict=True):
        take(top)
        assert band.add(tile, left, top)
    take(SIDE)
    return codes, confidence


def averaged(tiles: Tiles, corners: Corners) -> torch.Tensor:
    """Merge with AvgMerger to mean probabilities."""
    merger = AvgMerger(merged_shape=(1, CLASSES, SIDE, SIDE))
    for tile, (left, top) in zip(tiles, corners, strict=True):
        merger.aggregate(torch.from_numpy(tile)[None], (top, left))
    merged: torch.Tensor = merger.finalize()[0]
    return merged


def turns(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each; they take turns, so that other load affects all."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def merge_row(stride: int) -> bool:
    """Print one line of the table; return whether the limit is reached."""
    rng = np.random.default_rng(0)
    scores = rng.random((40, CLASSES, TILE, TILE), dtype=np.float32) ** 3
    scores /= scores.sum(1, keepdims=True)
    edges = range(0, SIDE - TILE + 1, stride)
    corners = [(x, y) for y in edges for x in edges]
    tiles = [scores[i % len(scores)] for i in range(len(corners))]
    (codes, confidence), means = ours(tiles, corners), averaged(tiles, corners)
    agree = float((codes == means.argmax(0).numpy()).mean())
    assert agree > 1 - 1e-5, f"only {agree:.3%} of the pixels agree"
    assert np.abs(confidence - 255 * means.amax(0).numpy()).max() < 0.51
    seconds = turns(
        {
            "ours": lambda: ours(tiles, corners),
            "merger": lambda: averaged(tiles, corners),
            "classes": lambda: averaged(tiles, corners).argmax(0),
        }
    )
    alone, whole = seconds["merger"] / seconds["ours"], seconds["classes"] / seconds["ours"]
    print(
        f"| {len(corners)} tiles, stride {stride} | {seconds['ours']:.3f} s | {seconds['merger']:.3f} s, "
        f"{alone:.1f}x | {seconds['classes']:.3f} s, {whole:.1f}x | {agree:.4%} |"
    )
    return whole >= GOAL


def classifier(patch: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return a classifier by colour, from a table; the colours of the classes are quantiles of the patch."""
    centres = np.quantile(patch.reshape(-1, 3), np.linspace(0.1, 0.9, CLASSES), axis=0)
    axis = np.arange(4, 256, 8, dtype=np.float32)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)[..., None, :]
    near = np.exp(-np.linalg.norm(cube - centres, axis=-1) / 15)
    table = (near / near.sum(-1, keepdims=True)).astype(np.float32).reshape(-1, CLASSES)

    def predict(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        bins = (tiles >> 3).astype(np.int32)
        return np.ascontiguousarray(np.moveaxis(table[bins[..., 0] << 10 | bins[..., 1] << 5 | bins[..., 2]], -1, 1))

    return predict


def from_now() -> float:
    """Reset the peak that `highest` reads, and return the MiB in use. Linux only."""
    Path("/proc/self/clear_refs").write_text("5")
    return highest()


def highest() -> float:
    """Return the peak MiB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def whole_slide(side: int) -> None:
    """Stitch the synthetic slide and print times and memory, in a fresh process."""
    slide = Slide(Wallpaper(side))
    predict = classifier(slide.read(0, 0, PATCH, PATCH, 0.5))
    grid = make_grid(slide.info, size=512, mpp=0.5, overlap=0.25, pad=True)
    disc = np.hypot(grid.x + 256 - side / 2, grid.y + 256 - side / 2) < 0.36 * side
    grid = replace(grid, x=grid.x[disc], y=grid.y[disc], tissue=grid.tissue[disc])
    labels = [Label(code, f"class {code}", (40 * code, 0, 200)) for code in range(CLASSES)]
    before, spent = from_now(), [0.0]

    def timed(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        start = time.perf_counter()
        scores = predict(tiles)
        spent[0] += time.perf_counter() - start
        return scores

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        blend = Blend(CLASSES, batch=8)
        made = segment_slide(slide, grid, timed, blend, Path(folder) / "one", labels=labels, confidence=True)
        took, peak = time.perf_counter() - start, highest() - before
        start = time.perf_counter()
        count = write_regions(Path(folder) / "one.geojson", made, labels[:3], tolerance_um=4, min_area_um2=5000)
        outlined, outlining = time.perf_counter() - start, highest() - before
    print(
        f"{side} x {side} pixels, {len(grid)} tiles: {took:.0f} s, of which {spent[0]:.0f} s in the classifier; at "
        f"most {peak:.0f} MiB above {before:.0f} MiB after imports (bar {MEMORY}).\n"
        f"{count} polygons in {outlined:.0f} s, at most {outlining:.0f} MiB with them."
    )
    sys.exit(int(peak >= MEMORY))


def main() -> None:
    """Print the table and the figures of the slide."""
    parser = argparse.ArgumentParser(description="Time the merging of predicted tiles.")
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--slide-only", action="store_true", help="measure only the slide, in this process")
    options = parser.parse_args()
    if options.slide_only:
        whole_slide(options.side)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "monai", "torch", "tifffile"))
    print(f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}\n")
    print("| merging to 4096 x 4096, 5 classes | ours | AvgMerger | AvgMerger and argmax | classes agree |")
    print("|---|---|---|---|---|")
    reached = [merge_row(stride) for stride in (TILE, TILE // 2)]
    print(flush=True)
    command = [sys.executable, __file__, "--slide-only", "--side", str(options.side)]
    failed = subprocess.run(command, check=False).returncode
    sys.exit("bars not reached" if failed or not all(reached) else 0)


if __name__ == "__main__":
    main()
