"""Measure what waiting threads of torch cost on a busy machine: small maps and refinement, beside two busy programs.

    python scripts/bench/busy.py [--busy 2] [--images 8] [--passes 20]

Between the parts of an operation, threads of OpenMP wait for each other by spinning, which takes the processor from the
thread that they wait for. `qaclims` lets them sleep instead (`OMP_WAIT_POLICY=PASSIVE`), unless the variable is set.
Each line is a process of its own: an image batch through a small network several times, as `cams` does, or
pixel-adaptive refinement of each image, as `masks` does. Results with equal threads are asserted equal byte by byte.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from qaclims_path.compute.refiners.par import pixel_adaptive
from qaclims_path.files.digest import digest_of
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference

SIDE, CLASSES = 96, 3  # as in the demo
SPIN = "while True: pass"
SETTINGS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"
GOAL = 1.5  # processor seconds of two sleeping threads, relative to one thread


def maps_of(images: torch.Tensor, passes: int) -> Callable[[], torch.Tensor]:
    """Return the work of making maps with a small network."""
    net = for_inference(CamNet("mobilenetv2_035", [str(index) for index in range(CLASSES)]), torch.device("cpu"))
    pixels = images.contiguous(memory_format=torch.channels_last)
    return lambda: [net(pixels).maps for _ in range(passes)][-1]


@torch.inference_mode()
def work(name: str, images: int, passes: int) -> None:
    """Do the work in this process, and print wall seconds, processor seconds and the digest of the result."""
    torch.manual_seed(0)
    pixels, maps = torch.rand(images, 3, SIDE, SIDE), torch.rand(images, CLASSES, SIDE, SIDE)
    run = maps_of(pixels, passes) if name == "maps" else lambda: pixel_adaptive(pixels, maps)
    run()
    wall, processor = time.perf_counter(), time.process_time()
    made = run()
    seconds = time.perf_counter() - wall, time.process_time() - processor
    print(*seconds, digest_of(made.contiguous().numpy().tobytes()))


def measured(name: str, threads: int, options: argparse.Namespace, *, sleeping: bool) -> tuple[float, float, str]:
    """Do the work in a process of its own."""
    kept = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    environment = kept | {"OMP_NUM_THREADS": str(threads)} | ({"OMP_WAIT_POLICY": "PASSIVE"} if sleeping else {})
    command = [sys.executable, __file__, "--work", name, f"--images={options.images}", f"--passes={options.passes}"]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return float(said[0]), float(said[1]), said[2]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep some programs busy beside the measurement."""
    programs = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("busy", 2), ("images", 8), ("passes", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--work", choices=("maps", "masks"), help="only do this work, for the script itself")
    options = parser.parse_args()
    if options.work:
        work(options.work, options.images, options.passes)
        return
    load = f"load {os.getloadavg()[0]:.1f} and {options.busy} busy programs beside"
    print(f"Python {platform.python_version()}, torch {torch.__version__}; {os.cpu_count()} cores, {load}\n")
    print("| work | threads | waiting | wall seconds | processor seconds |\n|---|---|---|---|---|")
    missed = []
    with busy(options.busy):
        for name in ("maps", "masks"):
            found = {}
            for threads, sleeping in ((1, True), (2, False), (2, True)):
                wall, processor, _ = found[threads, sleeping] = measured(name, threads, options, sleeping=sleeping)
                row = name, threads, "sleeping" if sleeping else "spinning", f"{wall:.2f}", f"{processor:.2f}"
                print(f"| {' | '.join(map(str, row))} |", flush=True)
            assert found[2, True][2] == found[2, False][2], f"{name}: waiting changes the result"
            if found[2, True][1] > GOAL * found[1, True][1]:
                missed.append(name)
    sys.exit(f"bars not reached: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
