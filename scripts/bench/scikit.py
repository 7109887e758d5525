"""Compare scikit-image with what this package does itself: do results agree, and how long does each take?

    python scripts/bench/scikit.py

One thread each, both timed in turn in the same process, on a phantom slide of 2048 x 2048 pixels, tiles of 512 x 512
pixels and 4000 random histograms. A function of scikit-image is taken where results are equal and it needs at most
`LIMIT` times as long; `docs/libraries.md` gives the reasons.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter
from skimage.color import combine_stains, rgb2lab, separate_stains
from skimage.filters import threshold_otsu
from skimage.measure import find_contours, label, regionprops_table
from skimage.morphology import diamond, dilation, erosion, remove_small_holes, remove_small_objects
from skimage.segmentation import find_boundaries, slic

from qaclims_path.compute.border import border
from qaclims_path.compute.boundary import band
from qaclims_path.compute.components import drop_specks, fill_holes
from qaclims_path.compute.polygons import trace
from qaclims_path.compute.stain import MACENKO_TARGET, WHITE, Macenko, fit_macenko, lab_of, normalise
from qaclims_path.compute.tissue import chroma, otsu, tissue_mask_of
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.slides.maps.outlines import outlines

RUNS = 9
LIMIT = 1.2
SIDE, TILE = 2048, 512
AREA = 1000  # pixels of specks and holes
WIDTH = 14  # pixels of the band of a tile: 2% of its diagonal
SUPERPIXELS = 400
HISTOGRAMS = 4000
U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One comparison: medians in milliseconds (`ours` None without a counterpart) and how far results agree."""

    name: str
    ours: float | None
    theirs: float
    equal: bool
    note: str

    def __str__(self) -> str:
        """A row of the Markdown table."""
        ratio = None if self.ours is None else self.theirs / self.ours
        passed = self.equal and ratio is not None and ratio <= LIMIT
        ours, times = ("", "") if ratio is None else (f"{self.ours:.2f}", f"{ratio:.2f}")
        return f"| {self.name} | {ours} | {self.theirs:.2f} | {times} | {self.note} | {'yes' if passed else 'no'} |"


def medians(*works: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Median milliseconds of each, taking turns, after one run that is not counted."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(runs + 1):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                taken.append(1000 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def compared(name: str, ours: Callable[[], NDArray], theirs: Callable[[], NDArray], what: str = "pixels") -> Row:  # type: ignore[type-arg]
    """A row for two functions whose arrays should be equal."""
    differ = int((ours() != theirs()).sum())
    note = "equal" if not differ else f"{differ} {what} differ"
    times = medians(ours, theirs)
    return Row(name, times[0], times[1], equal=not differ, note=note)


def histograms(rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Random histograms of 10 to 100 million pixels: noise, and up to three peaks."""
    values = np.arange(256)
    for turn in range(HISTOGRAMS):
        if turn % 2:
            shares = rng.dirichlet(np.full(256, rng.choice([0.01, 0.1, 1.0])))
        else:
            peaks = [((values - rng.uniform(0, 255)) / rng.uniform(1, 40)) ** 2 for _ in range(rng.integers(1, 4))]
            shares = np.sum([rng.random() * np.exp(-peak / 2) for peak in peaks], axis=0)
        counts = rng.multinomial(int(10 ** rng.uniform(1, 8)), shares / shares.sum())
        if (counts > 0).sum() > 1:  # theirs refuses a histogram of one value
            yield counts


def threshold_rows(picture: U8, rng: np.random.Generator) -> Iterator[Row]:
    """Otsu's threshold from a histogram, on the slide and on random ones."""
    counts = chroma(picture)[1]
    tried = [(otsu(each), int(threshold_otsu(hist=each))) for each in histograms(rng)]
    differ = sum(one != other for one, other in tried)
    farthest = max(abs(one - other) for one, other in tried)
    same = otsu(counts) == threshold_otsu(hist=counts)
    note = f"slide {'equal' if same else 'differs'}; {differ} of {len(tried)} histograms differ, by up to {farthest}"
    times = medians(lambda: otsu(counts), lambda: threshold_otsu(hist=counts), runs=199)
    yield Row("Otsu: `filters.threshold_otsu`", times[0], times[1], equal=same and not differ, note=note)


def cleaning_rows(picture: U8) -> Iterator[Row]:
    """Small areas and holes of a tissue mask; theirs removes areas up to a size, ours those below one."""
    mask = tissue_mask_of(picture)
    yield compared(
        "specks: `morphology.remove_small_objects`",
        lambda: drop_specks(mask, AREA),
        lambda: remove_small_objects(mask, max_size=AREA - 1, connectivity=2),
    )
    yield compared(
        "holes: `morphology.remove_small_holes`",
        lambda: fill_holes(mask, AREA),
        lambda: remove_small_holes(mask, max_size=AREA - 1, connectivity=1),
    )


def region_rows(codes: U8) -> Iterator[Row]:
    """Areas of one class: their sizes, and their outlines."""
    areas = (codes == codes.min()).astype(np.uint8)

    found = regionprops_table(label(areas, connectivity=1), properties=("area",))["area"]
    shapes = outlines(areas, [1], mpp=1.0, tolerance_um=0.0, min_area_um2=0.0)
    equal = sorted(found) == sorted(each.area_um2 for each in shapes)
    [seconds] = medians(lambda: regionprops_table(label(areas, connectivity=1), properties=("area",)))
    note = f"{'equal' if equal else 'different'} areas of {len(found)}; ours come with the outlines below"
    yield Row("areas: `measure.label`, `regionprops`", None, seconds, equal=equal, note=note)
    rings, padded = trace(areas, [1]), np.pad(areas, 1)
    lines = find_contours(padded, 0.5)
    enclosed = sum(abs(_area(line)) for line in lines)
    note = f"ours enclose {np.abs(rings.areas).sum():,} px, theirs {enclosed:,.0f}; they cut corners"
    times = medians(lambda: trace(areas, [1]), lambda: find_contours(padded, 0.5))
    yield Row("outlines: `measure.find_contours`", times[0], times[1], equal=False, note=note)


def _area(line: NDArray[np.float64]) -> float:
    y, x = line.T
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def morphology_rows(codes: U8, mask: Mask) -> Iterator[Row]:
    """The band of Boundary IoU, the border of a mask, and its surroundings."""
    valid = codes < codes.max()
    yield compared(
        "band: `morphology.erosion`, `dilation`; SciPy's filters before",
        lambda: scipy_band(codes, valid, WIDTH),
        lambda: band(codes, valid, WIDTH),
    )
    yield compared(
        "border of 1 px: `segmentation.find_boundaries`",
        lambda: border(mask, 1),
        lambda: find_boundaries(mask, connectivity=1, mode="inner"),
    )
    yield compared(
        "border of 2 px: `morphology.erosion`",
        lambda: border(mask, 2),
        lambda: mask & ~erosion(mask, diamond(2), mode="max"),
    )
    yield compared(
        "surroundings of ink: `morphology.dilation`; SciPy",
        lambda: binary_dilation(mask, iterations=10),
        lambda: dilation(mask, diamond(10, decomposition="sequence"), mode="min"),
    )


def scipy_band(labels: U8, valid: Mask, width: int) -> Mask:
    """`compute.boundary.band` as it was before scikit-image."""
    size = 2 * width + 1
    least = minimum_filter(np.where(valid, labels, np.uint8(255)), size)
    greatest = maximum_filter(np.where(valid, labels + np.uint8(1), np.uint8(0)), size)
    inside = least + np.uint8(1) == greatest
    core = np.zeros_like(inside)
    core[width:-width, width:-width] = inside[width:-width, width:-width]
    out: Mask = valid & ~core
    return out


def colour_rows(tile: U8) -> Iterator[Row]:
    """CIELAB, stain normalisation and superpixels of a tile."""
    apart = float(np.abs(lab_of(tile) - rgb2lab(tile)).max())
    times = medians(lambda: lab_of(tile), lambda: rgb2lab(tile))
    yield Row("CIELAB: `color.rgb2lab`", times[0], times[1], equal=apart == 0, note=f"differ by up to {apart:.4f}")
    fit = fit_macenko(tile.reshape(-1, 3))
    apart = int(np.abs(normalise(tile, fit).astype(int) - their_stain(tile, fit)).max())
    times = medians(lambda: normalise(tile, fit), lambda: their_stain(tile, fit))
    note = f"with our fit; differ by up to {apart} of 255"
    yield Row("stain: `color.separate_stains`, `combine_stains`", times[0], times[1], equal=apart == 0, note=note)
    [seconds] = medians(lambda: slic(tile, SUPERPIXELS, start_label=0), runs=3)
    yield Row("superpixels: `segmentation.slic`", None, seconds, equal=False, note="no counterpart")


def their_stain(tile: U8, fit: Macenko) -> U8:
    """Give a tile the stains of `MACENKO_TARGET`, with their two functions."""
    own, target = (np.array([*each.stains, np.cross(*each.stains)]) for each in (fit, MACENKO_TARGET))
    amounts = separate_stains(np.minimum(tile / WHITE, 1), np.linalg.inv(own))
    amounts *= [*np.divide(MACENKO_TARGET.strength, fit.strength), 0]
    changed: U8 = np.rint(WHITE * combine_stains(amounts, target)).astype(np.uint8)
    return changed


def main() -> None:
    """Measure and print a Markdown table."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "scikit-image"))
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"Python {platform.python_version()}, {packages}; one thread each; load {load}.\n")
    print(f"| what | ours (or SciPy) ms | scikit-image ms | ratio | results | equal and ratio <= {LIMIT} |")
    print("|---|---|---|---|---|---|")
    picture, codes = paint_slide(5, (SIDE, SIDE), 2.0)
    fine, labels = paint_slide(5, (TILE, TILE), 1.0)
    groups = (
        threshold_rows(picture, np.random.default_rng(0)),
        cleaning_rows(picture),
        region_rows(codes),
        morphology_rows(labels, tissue_mask_of(fine)),
        colour_rows(fine),
    )
    for group in groups:
        for row in group:
            print(row, flush=True)


if __name__ == "__main__":
    main()
