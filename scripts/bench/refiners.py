"""Time refiners: our dense CRF and PAR against pydensecrf2 as in the published label step.

    .venv/bin/python scripts/bench/refiners.py [--data FOLDER] [--rounds 7]

The published step labels an image with a high and a low threshold and runs a dense CRF on each, which builds its
lattices twice. Ours refines both together. PAR is another refinement of the same maps; it runs in batches of 16.

Images are crops of 224 and 512 pixels: a painted slide, and with --data (or QACLIMS_DATA) glands (`glas`) and
photographs (`voc2012`). Maps are smooth noise. Labels of both CRFs are asserted to agree. Everything runs on one core
after compilation; the peers take turns, and times are medians. Two threads are timed on two cores, two images at a
time. Needs `pip install pydensecrf2` (it compiles), which the package itself does not use.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from qaclims_path.compute.refiners.crf import dense_crf, label_energy
from qaclims_path.compute.refiners.crf_settings import LABEL_STEP
from qaclims_path.compute.refiners.labels import threshold_labels
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.files.images import read_image
from qaclims_path.models.refiners import RefineSettings, build_refiner

THRESHOLDS = 0.3, 0.1
BAR, GOAL, PAR_BAR, AGREE = 1.2, 1.5, 2.0, 0.99
BATCH = 16
SIDES = 224, 512
CLASSES = 2, 4
Picture = NDArray[np.uint8]
Maps = NDArray[np.float32]


def pictures(data: Path | None) -> Iterator[tuple[str, Picture]]:
    """Yield names and images, of at least the larger side where possible."""
    yield "painted", np.ascontiguousarray(paint_slide(3, (max(SIDES), max(SIDES)))[0])
    if data is None:
        return
    for name, folder in (("glands", data / "glas" / "val" / "images"), ("photograph", data / "voc2012" / "JPEGImages")):
        found = sorted(folder.glob("*.*"))
        if found:
            yield name, read_image(found[0])


def crop(picture: Picture, side: int) -> Picture:
    """Crop a square; smaller images are mirrored."""
    short = [(0, max(0, side - length)) for length in picture.shape[:2]]
    return np.ascontiguousarray(np.pad(picture, [*short, (0, 0)], mode="symmetric")[:side, :side])


def maps_of(side: int, classes: int) -> Maps:
    """Make smooth maps whose maximum is one."""
    rng = np.random.default_rng(side + classes)
    noise = np.stack([gaussian_filter(rng.normal(size=(side, side)), side / 16) for _ in range(classes)])
    maps: Maps = (noise.clip(0) / noise.max((1, 2), keepdims=True)).astype(np.float32)
    return maps


def ours(picture: Picture, maps: Maps) -> NDArray[np.intp]:
    """Label with our CRF under both thresholds."""
    energies = [label_energy(threshold_labels(maps, at), len(maps) + 1) for at in THRESHOLDS]
    labels: NDArray[np.intp] = dense_crf(picture, np.stack(energies)).argmax(axis=1)
    return labels


def peers(picture: Picture, maps: Maps) -> NDArray[np.intp]:
    """Label with pydensecrf2 under both thresholds, in two passes."""
    dense, utils = import_module("pydensecrf.densecrf"), import_module("pydensecrf.utils")
    count, (height, width) = len(maps) + 1, picture.shape[:2]
    found = []
    for at in THRESHOLDS:
        field = dense.DenseCRF2D(width, height, count)
        labels = threshold_labels(maps, at)
        field.setUnaryEnergy(utils.unary_from_labels(labels, count, gt_prob=0.7, zero_unsure=False))
        field.addPairwiseGaussian(sxy=LABEL_STEP.smooth_xy, compat=LABEL_STEP.smooth_weight)
        field.addPairwiseBilateral(
            sxy=LABEL_STEP.colour_xy, srgb=LABEL_STEP.colour_rgb, rgbim=picture, compat=LABEL_STEP.colour_weight
        )
        q = field.inference(LABEL_STEP.rounds)
        found.append(np.argmax(q, axis=0).reshape(height, width))
    return np.stack(found)


def par(picture: Picture, maps: Maps) -> Callable[[], object]:
    """Return a call of PAR on a batch of the same image."""
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().div(255).expand(BATCH, -1, -1, -1).contiguous()
    full = torch.from_numpy(maps)[None].expand(BATCH, -1, -1, -1).contiguous()
    present = torch.ones(BATCH, len(maps), dtype=torch.bool)
    refine = build_refiner("par", RefineSettings(threshold=THRESHOLDS[0]))
    return lambda: refine(images, full, present)


def threaded(picture: Picture, maps: Maps, threads: int) -> float:
    """Return the seconds per image of the refiner `crf` on four images, the best of three runs."""
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().div(255).expand(4, -1, -1, -1).contiguous()
    full = torch.from_numpy(maps)[None].expand(4, -1, -1, -1).contiguous()
    settings = RefineSettings(threshold=THRESHOLDS[0], band=THRESHOLDS[::-1], threads=threads)
    refine = build_refiner("crf", settings)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        refine(images, full, torch.ones(4, len(maps), dtype=torch.bool))
        times.append(time.perf_counter() - start)
    return min(times) / 4


def turns(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each; they take turns, so that other load affects all."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def row(name: str, picture: Picture, classes: int, rounds: int, cores: list[int]) -> bool:
    """Print one line of the table; return whether the limits are reached."""
    side = len(picture)
    maps = maps_of(side, classes)
    agree = float((ours(picture, maps) == peers(picture, maps)).mean())
    assert agree >= AGREE, f"only {agree:.3%} of the pixels agree"
    run_par = par(picture, maps)
    run_par()
    seconds = turns(
        {"ours": lambda: ours(picture, maps), "peer": lambda: peers(picture, maps), "par": run_par},
        rounds,
    )
    seconds["par"] /= BATCH
    one = threaded(picture, maps, 1)
    os.sched_setaffinity(0, cores)
    two = threaded(picture, maps, 2) if len(cores) > 1 else one
    os.sched_setaffinity(0, cores[:1])
    gain, other = seconds["peer"] / seconds["ours"], seconds["peer"] / seconds["par"]
    print(
        f"| {name}, {side} px, {classes} classes | {seconds['peer'] * 1e3:.0f} ms | {seconds['ours'] * 1e3:.0f} ms, "
        f"{gain:.1f}x | {one / two:.1f}x | {seconds['par'] * 1e3:.0f} ms, {other:.1f}x | {agree:.4%} |",
        flush=True,
    )
    return gain >= BAR and other >= PAR_BAR


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time refiners.")
    parser.add_argument("--data", type=Path, default=os.environ.get("QACLIMS_DATA"))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    try:
        import_module("pydensecrf.densecrf")
    except ImportError:
        sys.exit("The peer is not installed: pip install pydensecrf2")
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores[:1])
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "torch", "pydensecrf2"))
    print(f"Python {platform.python_version()}, {packages}; one core; load {os.getloadavg()[0]:.1f}\n")
    print(f"Bars: crf {BAR}x (goal {GOAL}x), par {PAR_BAR}x pydensecrf2's two passes.\n")
    print("| image | pydensecrf2, two passes | crf | its two threads over one | par | labels agree |")
    print("|---|---|---|---|---|---|")
    data = Path(options.data) if options.data else None
    reached = [
        row(name, crop(picture, side), classes, options.rounds, cores)
        for name, picture in pictures(data)
        for side in SIDES
        for classes in CLASSES
    ]
    sys.exit(0 if all(reached) else "bars not reached")


if __name__ == "__main__":
    main()
