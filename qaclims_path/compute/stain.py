"""Stain normalisation: fitted once per slide, applied to tiles through tables.

Macenko works in optical density, where stains add up; Reinhard shifts and scales the three axes of CIELAB (D65). Both
keep glass: unstained pixels do not change, and the change grows with the stain between `GLASS` and `STAINED`.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.stain_loops import I64, lab_loop, macenko_loop, packed

Triple = tuple[float, float, float]
Table = NDArray[np.float32]

GLASS, STAINED = 0.05, 0.15  # optical density up to which a pixel is glass, and from which it is stained
WHITE = 240.0  # default brightness of glass, as in the published code of Macenko et al.
ONE_STAIN = 0.02  # angle in rad below which two stains count as one
FAINT = 0.05  # amount of a stain below which it is noise, and is not amplified further
FEWEST = 100  # stained pixels that a fit needs
DENSITY_STEPS = 512  # per unit of optical density, in the table back to brightness
DENSITIES = 4096
CUBE_ROOTS = 4096  # entries for CIELAB's f(t), t in 0..1
LIGHTS = 8192  # entries from linear light 0..1 to sRGB
TO_XYZ = np.array(  # linear sRGB to XYZ, divided by the white of D65
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)


@dataclass(frozen=True)
class Macenko:
    """Two stains and their strength.

    Attributes:
        stains: Optical density of red, green and blue per unit of haematoxylin and of eosin; each has length 1.
        strength: 99th percentile of the amounts of both.
        white: Brightness of glass.
    """

    stains: tuple[Triple, Triple]
    strength: tuple[float, float]
    white: Triple = (WHITE, WHITE, WHITE)


@dataclass(frozen=True)
class Reinhard:
    """Mean and standard deviation of L, a and b over stained pixels."""

    mean: Triple
    spread: Triple


StainFit = Macenko | Reinhard

# The reference in the published code of Macenko et al. (ISBI 2009), also the default of MONAI.
MACENKO_TARGET = Macenko(((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)), (1.9705, 1.0308))
# Mean of `fit_reinhard` over two public slides (OpenSlide's CMU-1-Small-Region, TCGA-CR-7395-01A-01-TS1) after Macenko
# with MACENKO_TARGET, so that both methods lead to similar colours.
REINHARD_TARGET = Reinhard((62.4, 22.6, -7.9), (13.7, 5.5, 5.1))


def fit_macenko(pixels: NDArray[np.uint8], white: Triple = (WHITE, WHITE, WHITE)) -> Macenko:
    """Find the two stains of a slide.

    Args:
        pixels: N 3, a sample of its tissue.
        white: Brightness of its glass.

    Raises:
        ValueError: Fewer than `FEWEST` pixels are stained, or all have one colour.
    """
    density = -np.log(np.maximum(pixels, 1) / np.asarray(white))
    stained = density[(density > STAINED).all(axis=1)]
    if len(stained) < FEWEST:
        raise ValueError(f"only {len(stained)} of {len(pixels)} pixels are stained")
    plane = np.linalg.eigh(np.cov(stained.T))[1][:, 1:]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)  # the sign of an eigenvector is arbitrary
    ends = np.percentile(np.arctan2(stained @ plane[:, 0], stained @ plane[:, 1]), (1, 99))
    if np.ptp(ends) < ONE_STAIN:
        raise ValueError("its pixels have one colour, so that two stains cannot be told apart")
    pair = plane @ np.stack([np.sin(ends), np.cos(ends)])
    pair = pair[:, np.argsort(-pair[0])]  # haematoxylin absorbs more red
    strong = np.percentile(stained @ np.linalg.pinv(pair).T, 99, axis=0)
    return Macenko((_triple(pair[:, 0]), _triple(pair[:, 1])), (float(strong[0]), float(strong[1])), white)


def fit_reinhard(pixels: NDArray[np.uint8]) -> Reinhard:
    """Measure mean and spread in CIELAB of the stained pixels of N 3; `ValueError` with fewer than `FEWEST`."""
    stained = pixels[(pixels < WHITE * np.exp(-STAINED)).any(axis=1)]
    if len(stained) < FEWEST:
        raise ValueError(f"only {len(stained)} of {len(pixels)} pixels are stained")
    lab = lab_of(stained)
    return Reinhard(_triple(lab.mean(axis=0)), _triple(lab.std(axis=0)))


def lab_of(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert sRGB pixels (... 3) to CIELAB under D65."""
    xyz = _linear()[pixels] @ TO_XYZ.T
    f = _f(xyz)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def normalise(image: NDArray[np.uint8], fit: StainFit, target: StainFit | None = None) -> NDArray[np.uint8]:
    """Give a tile (H W 3) of the fitted slide the stain of the target.

    Args:
        image: Red, green, blue.
        fit: Fit of the tile's slide.
        target: Fit of the same method; None takes `MACENKO_TARGET` or `REINHARD_TARGET`.
    """
    result = np.empty_like(image, order="C")
    flat, out = np.ascontiguousarray(image).reshape(-1, 3), result.reshape(-1, 3)
    if isinstance(fit, Macenko):
        other = MACENKO_TARGET if target is None else target
        if not isinstance(other, Macenko):
            raise TypeError("a Macenko fit needs a Macenko target")
        macenko_loop(flat, *_macenko_tables(fit, other), out)
    else:
        other = REINHARD_TARGET if target is None else target
        if not isinstance(other, Reinhard):
            raise TypeError("a Reinhard fit needs a Reinhard target")
        lab_loop(flat, *_lab_tables(), *_shift(fit, other), out)
    return result


def to_json(fit: StainFit) -> dict[str, Any]:
    """Convert a fit to values for JSON.

    Examples:
        >>> to_json(Reinhard((60, 20, -10), (10, 5, 5)))["method"]
        'reinhard'
    """
    return {"method": "macenko" if isinstance(fit, Macenko) else "reinhard", **asdict(fit)}


def from_json(values: dict[str, Any]) -> StainFit:
    """Read a fit from the values of `to_json`; `ValueError` for anything else."""
    if values.get("method") == "macenko":
        first, second = (_triple(np.asarray(stain, float)) for stain in values["stains"])
        a, b = (float(value) for value in values["strength"])
        return Macenko((first, second), (a, b), _triple(np.asarray(values["white"], float)))
    if values.get("method") == "reinhard":
        mean, spread = (_triple(np.asarray(values[name], float)) for name in ("mean", "spread"))
        return Reinhard(mean, spread)
    raise ValueError(f"there is no stain method '{values.get('method')}'")


def _triple(values: NDArray[np.floating[Any]]) -> Triple:
    r, g, b = (float(value) for value in values)
    return r, g, b


def _transfer(fit: Macenko, target: Macenko) -> NDArray[np.float64]:
    """Return the 3 3 matrix from optical densities of the fit to those of the target."""
    scale = np.divide(target.strength, np.maximum(fit.strength, FAINT))
    matrix: NDArray[np.float64] = np.array(target.stains).T @ np.diag(scale) @ np.linalg.pinv(np.array(fit.stains).T)
    return matrix


@lru_cache(maxsize=64)
def _macenko_tables(fit: Macenko, target: Macenko) -> tuple[I64, Table, Table]:
    """Tables: contribution of channels and values to the densities, brightness by density (3 N), and `_glass`."""
    density = np.maximum(_density(fit.white), 0)
    parts = density[:, :, None] * _transfer(fit, target).T[:, None, :] * DENSITY_STEPS
    light = np.array(target.white)[:, None] * np.exp(-np.arange(DENSITIES) / DENSITY_STEPS)
    return packed(parts), light.astype(np.float32), _glass(fit.white)


def _density(white: Triple) -> NDArray[np.float64]:
    """Return the optical density of every value of every channel (3 256)."""
    density: NDArray[np.float64] = -np.log(np.maximum(np.arange(256), 1) / np.array(white)[:, None])
    return density


def _glass(white: Triple) -> Table:
    """Return the share of glass in 0..1 for every value of every channel (3 256)."""
    return np.clip((STAINED - _density(white)) / (STAINED - GLASS), 0, 1).astype(np.float32)


def _shift(fit: Reinhard, target: Reinhard) -> tuple[Table, Table]:
    factor = np.divide(target.spread, np.maximum(fit.spread, 1e-3))
    offset = np.array(target.mean) - factor * np.array(fit.mean)
    return factor.astype(np.float32), offset.astype(np.float32)


@lru_cache(maxsize=1)
def _lab_tables() -> tuple[Table, Table, Table, Table, Table]:
    """Tables: contribution of channels and values to X, Y, Z; f; the inverse matrix; sRGB by linear light; glass."""
    parts = _linear()[None, :, None] * TO_XYZ.T[:, None, :] * (CUBE_ROOTS - 2)
    roots = _f(np.arange(CUBE_ROOTS) / (CUBE_ROOTS - 2))
    light = np.arange(LIGHTS) / (LIGHTS - 1)
    srgb = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    back = np.linalg.inv(TO_XYZ) * (LIGHTS - 1)
    small = np.float32
    return parts.astype(small), roots.astype(small), back.astype(small), srgb.astype(small), _glass((WHITE,) * 3)


def _linear() -> NDArray[np.float64]:
    """Return the linear light of every sRGB value (256)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _f(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return f(t) of CIELAB: the cube root, linear near black."""
    return np.where(t > 216 / 24389, np.cbrt(t), t * (24389 / 27 / 116) + 16 / 116)
