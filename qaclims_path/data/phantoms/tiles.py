"""Tiles with image-level labels, cut from phantom slides without painting whole slides."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.formats import FakeItem
from qaclims_path.data.phantoms.layout import BACKGROUND
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.stain import key_of

SLIDE_UM = 6000.0  # side of a patient's slide
CANDIDATES = 24  # positions per tile
MIN_SHARE = 0.02  # share of a tile; a class that covers less makes a poor label
MAX_BACKGROUND = 0.85  # largest share of a tile
CLASSES = BACKGROUND + 1


def phantom_tiles(
    seed: int,
    patients: Sequence[str],
    tiles_per_patient: int,
    size: int = 224,
    *,
    mpp: float = 0.5,
    stains: Sequence[str] | None = None,
    single: float = 0.35,
    without: Sequence[tuple[str, ...]] = ((),),
) -> Iterator[FakeItem]:
    """Yield tiles patient by patient; equal arguments give equal tiles.

    Args:
        seed: Seed of the layout of tissues and of the positions of tiles.
        patients: Names of the patients; use different ones for every split.
        tiles_per_patient: Number of tiles per patient.
        size: Side of a tile in pixels.
        mpp: Pixel size in um.
        stains: Stain families, given to patients in turn; None chooses one from each patient's name.
        single: Share of tiles that should show one tissue; the others should show several.
        without: Classes that slides do not have, given to patients in turn.
    """
    for number, patient in enumerate(patients):
        stain = stains[number % len(stains)] if stains else None
        side = max(int(SLIDE_UM / mpp), 4 * size)
        absent = without[number % len(without)]
        slide = PhantomSlide(PhantomSpec(seed, side, side, mpp, patient, stain, absent))
        rng = np.random.default_rng(key_of("tiles", seed, patient))
        seen = np.zeros(CLASSES)
        for _ in range(tiles_per_patient):
            x, y = _choose(slide, size, rng, seen, alone=bool(rng.random() < single))
            rgb, codes = slide.read(x, y, size, size)
            yield FakeItem(rgb, codes, patient, x, y)


def _choose(
    slide: PhantomSlide, size: int, rng: np.random.Generator, seen: NDArray[np.float64], *, alone: bool
) -> tuple[int, int]:
    """Choose the best of several random positions: rare classes first, with one tissue (`alone`) or several."""
    positions = rng.integers(0, slide.spec.width - size, (CANDIDATES, 2))
    counts = [np.bincount(slide.codes(int(x), int(y), size, size).ravel(), minlength=CLASSES) for x, y in positions]
    best = max(range(CANDIDATES), key=lambda n: _quality(counts[n] / counts[n].sum(), seen, alone=alone))
    seen += counts[best] / counts[best].sum()
    return int(positions[best, 0]), int(positions[best, 1])


def _quality(share: NDArray[np.float64], seen: NDArray[np.float64], *, alone: bool) -> float:
    """Score a position from its class shares and those seen so far; mostly background or tiny shares score low."""
    rarity = float((share / (1.0 + seen)).sum())
    tiny = int(((share > 0) & (share < MIN_SHARE)).sum())
    tissues = int((share[:BACKGROUND] > 0).sum())
    fits = tissues == 1 if alone else tissues > 1
    empty = bool(share[BACKGROUND] > MAX_BACKGROUND)
    return rarity + 2.0 * fits - 4.0 * tiny - 100.0 * empty
