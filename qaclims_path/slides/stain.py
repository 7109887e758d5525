"""Fit the stain of a whole slide once, on a seeded sample of its tiles, and save the fit beside the results."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.stain import StainFit, fit_macenko, fit_reinhard, from_json, to_json
from qaclims_path.errors import BadFile, NotRegistered, QaclimsError
from qaclims_path.files.atomic import write_json
from qaclims_path.registry import suggest
from qaclims_path.slides.reader import Slide
from qaclims_path.types import TileGrid

FITS: dict[str, Callable[[NDArray[np.uint8]], StainFit]] = {"macenko": fit_macenko, "reinhard": fit_reinhard}
SAMPLED_PIXELS = 100_000  # per slide


def fit_slide(slide: Slide, grid: TileGrid, method: str = "macenko", *, seed: int = 0, tiles: int = 24) -> StainFit:
    """Fit the stain of a slide on pixels of some of its tiles; equal seeds give equal fits.

    Args:
        slide: An open slide.
        grid: Tiles on tissue.
        method: `macenko` or `reinhard`.
        seed: Seed of the sample of tiles and pixels.
        tiles: Number of tiles to sample.

    Examples:
        >>> tile = normalise(tile, fit_slide(slide, grid))  # doctest: +SKIP
    """
    name = Path(slide.info.path).name
    if method not in FITS:
        raise NotRegistered(f"There is no stain normalisation '{method}'. {suggest(method, ['none', *FITS])}")
    if not len(grid):
        raise QaclimsError(
            f"{name} has no tiles on tissue to fit its stain on. Leave out the slide, or pass --stain none."
        )
    rng = np.random.default_rng(seed)
    sampled = np.sort(rng.choice(len(grid), min(tiles, len(grid)), replace=False))
    pixels = []
    for i in sampled:
        tile = slide.read(grid.x[i], grid.y[i], grid.size, grid.size, grid.mpp).reshape(-1, 3)
        pixels.append(tile[rng.integers(0, len(tile), SAMPLED_PIXELS // len(sampled))])
    try:
        return FITS[method](np.concatenate(pixels))
    except ValueError as error:
        raise QaclimsError(
            f"The stain of {name} cannot be fitted: {error}. Leave out the slide, or pass --stain none."
        ) from error


def save_fit(path: Path, fit: StainFit) -> None:
    """Save a fit as JSON."""
    write_json(path, to_json(fit))


def load_fit(path: Path) -> StainFit:
    """Load a fit that `save_fit` wrote."""
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{path} is not a saved stain fit. Delete it; the stain is then fitted again.") from error
