"""Tiles with image-level labels, cut from slides that nobody has to paint whole."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.formats import FakeItem
from qaclims_path.data.phantoms.layout import BACKGROUND
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.stain import key_of

SLIDE_UM = 6000.0  # side of the slide that a patient's tiles come from
TRIES = 24
LEAST = 0.02  # a class covers this share of a tile or is absent from it
MOST_BACKGROUND = 0.85
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
) -> Iterator[FakeItem]:
    """Yield tiles patient by patient; the same arguments always give the same tiles.

    Args:
        seed: Where the tissues lie and the tiles are cut.
        patients: Whose tiles; give every split its own.
        tiles_per_patient: How many of each.
        size: Side in pixels.
        mpp: Pixel size in um.
        stains: Stain families that the patients take in turn; None lets their names draw one.
        single: Share of tiles that are to hold one tissue; the others hold several. Every tile holds one at least.
    """
    for number, patient in enumerate(patients):
        stain = stains[number % len(stains)] if stains else None
        side = max(int(SLIDE_UM / mpp), 4 * size)
        slide = PhantomSlide(PhantomSpec(seed, side, side, mpp, patient, stain))
        rng = np.random.default_rng(key_of("tiles", seed, patient))
        seen = np.zeros(CLASSES)
        for _ in range(tiles_per_patient):
            x, y = _choose(slide, size, rng, seen, alone=bool(rng.random() < single))
            rgb, codes = slide.read(x, y, size, size)
            yield FakeItem(rgb, codes, patient, x, y)


def _choose(
    slide: PhantomSlide, size: int, rng: np.random.Generator, seen: NDArray[np.float64], *, alone: bool
) -> tuple[int, int]:
    """The place, out of a few, that best brings a class not seen much, with the number of classes wanted."""
    places = rng.integers(0, slide.spec.width - size, (TRIES, 2))
    shares = [np.bincount(slide.codes(int(x), int(y), size, size).ravel(), minlength=CLASSES) for x, y in places]
    best = max(range(TRIES), key=lambda n: _worth(shares[n] / shares[n].sum(), seen, alone=alone))
    seen += shares[best] / shares[best].sum()
    return int(places[best, 0]), int(places[best, 1])


def _worth(share: NDArray[np.float64], seen: NDArray[np.float64], *, alone: bool) -> float:
    """Higher is better; nothing but background, or a class present by a few pixels only, makes a poor label."""
    rare = float((share / (1.0 + seen)).sum())
    slivers = int(((share > 0) & (share < LEAST)).sum())
    kinds = int((share[:BACKGROUND] > 0).sum())
    fits = kinds == 1 if alone else kinds > 1
    empty = bool(share[BACKGROUND] > MOST_BACKGROUND)
    return rare + 2.0 * fits - 4.0 * slivers - 100.0 * empty
