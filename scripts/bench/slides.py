"""Time the reading of slides against OpenSlide, MONAI and the codec alone.

    .venv/bin/python scripts/bench/slides.py [--data DIR] [--side 16384]

Reads a phantom slide (JPEG, 256 px tiles, three levels), and the real slides below `--data` or QACLIMS_DATA if there
are any. Pixels are asserted equal first. The peers take turns in one process, with a warm file cache; times are medians
of processor time, which other programs disturb least, but wall time for two processes against one. A row is a function
in `ROWS` that takes a `Bench` and returns a `Row`, or None where it cannot be measured.
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.synchronize import Barrier
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid

ROUNDS = 5
TILES = 1024  # of the phantom per round, the same for all peers
MPP = 0.25


@dataclass(frozen=True)
class Bench:
    """The phantom slide, and the folder of real slides or None."""

    phantom: Path
    real: Path | None


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is our speed over the peer's."""

    what: str
    ours: str
    peer: str
    ratio: float
    goal: float | None


def read_against_openslide(bench: Bench) -> Row:
    """Read tiles that coincide with the compressed ones."""
    return _against_openslide("256 px tiles, JPEG TIFF, OpenSlide one by one", bench.phantom, 256, 5.0)


def read_unaligned(bench: Bench) -> Row:
    """Read tiles that overlap several compressed ones."""
    return _against_openslide("224 px tiles, unaligned, OpenSlide one by one", bench.phantom, 224, 4.0)


def read_real_svs(bench: Bench) -> Row | None:
    """Read the real Aperio slide: 240 px JPEG tiles."""
    if bench.real is None:
        return None
    return _against_openslide("256 px tiles, real SVS, OpenSlide one by one", bench.real / SVS, 256, 5.0)


def read_real_svs_unaligned(bench: Bench) -> Row | None:
    """Read the real Aperio slide in tiles for a backbone."""
    if bench.real is None:
        return None
    return _against_openslide("224 px tiles, real SVS, OpenSlide one by one", bench.real / SVS, 224, 4.0)


def read_real_jpeg_2000(bench: Bench) -> Row | None:
    """Read a real slide in JPEG 2000, which OpenSlide decodes for us, too: no gain is claimed."""
    if bench.real is None:
        return None
    return _against_openslide("256 px tiles, real JPEG 2000 SVS (read with OpenSlide)", bench.real / J2K, 256, None)


def read_against_monai(bench: Bench) -> Row:
    """Read all tiles of the phantom, against MONAI's data set of a slide."""
    return _against_monai("256 px tiles, JPEG TIFF, MONAI SlidingPatchWSIDataset", bench.phantom)


def read_real_against_monai(bench: Bench) -> Row | None:
    """Read all tiles of the real slide, against MONAI's data set of a slide."""
    if bench.real is None:
        return None
    return _against_monai("256 px tiles, real SVS, MONAI SlidingPatchWSIDataset", bench.real / SVS)


def distance_to_the_limit(bench: Bench) -> Row:
    """Compare reading with decoding alone."""
    grid, data = grid_of(bench.phantom, 256), compressed(bench.phantom)
    ours, bare = turns(lambda: stream(bench.phantom, grid), lambda: decode(data))
    pixels = TILES * 256 * 256 / 1e6
    return Row(
        "decoded megapixels, bare imagecodecs", f"{pixels / ours:.0f}/s", f"{pixels / bare:.0f}/s", bare / ours, 0.8
    )


def two_processes(bench: Bench) -> Row:
    """Compare the gain of a second process with that of the codec alone."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(3):
        for contest in (("ours", 1), ("bare", 1), ("ours", 2), ("bare", 2)):
            seconds.setdefault(contest, []).append(_seconds(*contest, bench.phantom))
    middle = {contest: statistics.median(times) for contest, times in seconds.items()}
    # each process does all the work, so two of them do it twice
    ours, bare = (2 * middle[what, 1] / middle[what, 2] for what in ("ours", "bare"))
    return Row("two processes instead of one, bare imagecodecs", f"{ours:.2f}x", f"{bare:.2f}x", ours / bare, 0.9)


ROWS: list[Callable[[Bench], Row | None]] = [
    read_against_openslide,
    read_against_monai,
    read_unaligned,
    read_real_svs,
    read_real_against_monai,
    read_real_svs_unaligned,
    read_real_jpeg_2000,
    distance_to_the_limit,
    two_processes,
]
SVS, J2K = "CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"


def turns(*contestants: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median processor seconds of each; they take turns, so that other load affects all."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for run, seconds in zip(contestants, times, strict=True):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
    return [statistics.median(seconds) for seconds in times]


def grid_of(path: Path, size: int) -> TileGrid:
    """Return the first complete tiles of a slide in row order."""
    with open_slide(path, mpp=MPP) as slide:
        across, down = slide.info.width // size, slide.info.height // size
    rows, columns = np.divmod(np.arange(min(across * down, TILES), dtype=np.int64), across)
    return TileGrid(columns * size, rows * size, size, size, size, MPP, np.ones(len(rows), np.float32))


def stream(path: Path, grid: TileGrid) -> int:
    """Open a slide with this package, read all tiles, and close it."""
    with open_slide(path, mpp=MPP) as slide:
        return sum(int(tile[0, 0, 0]) for _, tile in iter_tiles(slide, grid))


def one_by_one(path: Path, grid: TileGrid) -> int:
    """Read tiles with OpenSlide as documented, with the file kept open."""
    with openslide.OpenSlide(path) as slide:
        return sum(int(region(slide, grid, number)[0, 0, 0]) for number in range(len(grid)))


def region(slide: openslide.OpenSlide, grid: TileGrid, number: int) -> NDArray[np.uint8]:
    """Read one tile with OpenSlide."""
    corner = int(grid.x[number]), int(grid.y[number])
    return np.asarray(slide.read_region(corner, 0, (grid.size, grid.size)).convert("RGB"))


def compressed(path: Path) -> tuple[list[bytes], bytes | None]:
    """Return the JPEG bytes of the first tiles, and their common tables."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        spans = zip(page.dataoffsets[:TILES], page.databytecounts[:TILES], strict=True)
        content = path.read_bytes()
        return [content[offset : offset + count] for offset, count in spans], page.jpegtables


def decode(data: tuple[list[bytes], bytes | None]) -> None:
    """Decode with the codec alone: bytes in memory, into one buffer that stays in the cache."""
    tiles, tables = data
    pixels = np.empty((256, 256, 3), np.uint8)
    for tile in tiles:
        imagecodecs.jpeg8_decode(tile, tables=tables, outcolorspace="RGB", out=pixels)


def _against_openslide(what: str, path: Path, size: int, goal: float | None) -> Row:
    grid = grid_of(path, size)
    with open_slide(path, mpp=MPP) as slide, openslide.OpenSlide(path) as theirs:
        for number, tile in iter_tiles(slide, grid):
            assert np.array_equal(tile, region(theirs, grid, number)), f"{path.name}: tile {number} differs"
    ours, peer = turns(lambda: stream(path, grid), lambda: one_by_one(path, grid))
    return Row(what, f"{len(grid) / ours:.0f}/s", f"{len(grid) / peer:.0f}/s", peer / ours, goal)


def _against_monai(what: str, path: Path) -> Row:
    from monai.data.wsi_datasets import SlidingPatchWSIDataset

    theirs = SlidingPatchWSIDataset([{"image": str(path)}], patch_size=256, reader="openslide", patch_level=0)
    grid = grid_of(path, 256)
    # MONAI's grid may hold incomplete tiles at the right border; only tiles of both grids are compared and timed
    where = {tuple(int(v) for v in theirs.data[i]["location"]): i for i in range(len(theirs))}
    numbers = [where[y, x] for x, y in zip(grid.x.tolist(), grid.y.tolist(), strict=True)]
    with open_slide(path, mpp=MPP) as slide:
        for number, tile in iter_tiles(slide, grid):
            if number % 16 == 0:
                patch = np.asarray(theirs[numbers[number]]["image"])
                assert np.array_equal(tile, patch.transpose(1, 2, 0)), f"{path.name}: tile {number} differs"
    ours, peer = turns(lambda: stream(path, grid), lambda: [theirs[i] for i in numbers], rounds=3)
    return Row(what, f"{len(grid) / ours:.0f}/s", f"{len(grid) / peer:.0f}/s", peer / ours, 8.0)


def _seconds(what: str, processes: int, path: Path) -> float:
    """Return the wall time of processes that each do all the work, from a common start to the last end."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(processes), context.SimpleQueue()
    workers = [context.Process(target=_work, args=(what, path, ready, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    spans: list[tuple[float, float]] = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _work(
    what: str, path: Path, ready: Barrier, results: "multiprocessing.queues.SimpleQueue[tuple[float, float]]"
) -> None:
    grid, data = grid_of(path, 256), compressed(path)
    run: Callable[[], object] = (lambda: stream(path, grid)) if what == "ours" else (lambda: decode(data))
    run()
    ready.wait()
    start = time.monotonic()
    for _ in range(3):
        run()
    results.put((start, time.monotonic()))


def main() -> None:
    """Make the phantom, measure every row, print the table."""
    parser = argparse.ArgumentParser(description="Time the reading of slides.")
    parser.add_argument("--data", type=Path, default=os.environ.get("QACLIMS_DATA"))
    parser.add_argument("--side", type=int, default=16_384)
    parser.add_argument("--only", default="", help="measure only rows whose function has this in its name")
    options = parser.parse_args()
    warnings.filterwarnings(
        "ignore", "The given NumPy array is not writable"
    )  # MONAI's tensors over OpenSlide's pixels
    names = ("openslide-python", "openslide-bin", "tifffile", "imagecodecs", "monai", "numpy")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"load before: {os.getloadavg()[0]:.1f}; medians of processor time\n")
    with tempfile.TemporaryDirectory() as folder:
        spec = PhantomSpec(seed=1, width=options.side, height=options.side, mpp=MPP)
        bench = Bench(write_slide(Path(folder), "phantom", spec).slide, options.data and Path(options.data) / "slides")
        print("| what, and the peer | ours | peer | ratio | goal |\n|---|---|---|---|---|")
        for measure in ROWS:
            row = measure(bench) if options.only in measure.__name__ else None
            if row is not None:
                goal = "" if row.goal is None else f"{row.goal:g}"
                print(f"| {row.what} | {row.ours} | {row.peer} | {row.ratio:.2f} | {goal} |", flush=True)
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
