"""Time the dense CRF after a segmenter beside the refiner of pseudo masks, and measure its memory.

    .venv/bin/python scripts/bench/segmenter_crf.py [--data FOLDER] [--classes 21] [--rounds 5]

Pictures are photographs of 500 x 375 pixels (`voc2012` of --data or QACLIMS_DATA), or painted tissue of that size.
Probabilities are the softmax of smooth noise, an eighth as fine as the picture. The refiner labels each picture under
two thresholds, as in the published label step. Everything runs on one core; times are medians of seconds.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from qaclims_path.compute.refiners.crf import dense_crf, label_energy, refine_probabilities
from qaclims_path.compute.refiners.crf_settings import AFTER_SEGMENTER, LABEL_STEP
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.files.images import read_image

HEIGHT, WIDTH = 375, 500
LABELS = 4  # of the refiner: present classes and background
Picture = NDArray[np.uint8]


def pictures(data: Path | None, count: int) -> list[Picture]:
    """Return pictures of the size, photographs where there are any."""
    found = sorted((data / "voc2012" / "JPEGImages").glob("*.jpg")) if data is not None else []
    fitting = [path for path in found if Image.open(path).size == (WIDTH, HEIGHT)][:count]
    if fitting:
        return [read_image(path) for path in fitting]
    return [np.ascontiguousarray(paint_slide(seed, (HEIGHT, WIDTH))[0]) for seed in range(count)]


def probabilities(classes: int) -> NDArray[np.float32]:
    """Return smooth class probabilities (K H W)."""
    rng = np.random.default_rng(classes)
    noise = [gaussian_filter(rng.normal(size=(-(-HEIGHT // 8), -(-WIDTH // 8))), 4) * 40 for _ in range(classes)]
    logits = np.stack([zoom(each, 8, order=1)[:HEIGHT, :WIDTH] for each in noise])
    shares = np.exp(logits - logits.max(0))
    found: NDArray[np.float32] = (shares / shares.sum(0)).astype(np.float32)
    return found


def seconds(work: Callable[[Picture], object], given: list[Picture]) -> float:
    """Return the median seconds of a picture, after one that compiles."""
    work(given[0])
    times = []
    for picture in given:
        start = time.perf_counter()
        work(picture)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the dense CRF after a segmenter.")
    parser.add_argument("--data", type=Path, default=os.environ.get("QACLIMS_DATA"))
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=5, help="Pictures.")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    given = pictures(Path(options.data) if options.data else None, options.rounds)
    shares = probabilities(options.classes)
    labels = (np.indices((HEIGHT, WIDTH)).sum(0) // 60 % LABELS).astype(np.uint8)  # oblique stripes
    both = np.stack([label_energy(labels, LABELS)] * 2)
    print(f"Python {platform.python_version()}, one core, load {os.getloadavg()[0]:.1f}, {len(given)} pictures\n")
    print("| dense CRF of 500 x 375 pixels | seconds | peak memory of the process, MiB |")
    print("|---|---|---|")
    rows: dict[str, Callable[[Picture], object]] = {
        f"refiner `crf`: two labellings of {LABELS} labels": lambda picture: dense_crf(picture, both, LABEL_STEP)
    }
    for name, crf in AFTER_SEGMENTER.items():
        rows[f"`{name}`, {options.classes} classes"] = partial(refine_probabilities, probabilities=shares, settings=crf)
    for title, work in rows.items():
        taken = seconds(work, given)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"| {title} | {taken:.2f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
