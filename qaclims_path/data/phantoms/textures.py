"""Repeating patterns of fibres, granules, chromatin and cells, computed once: 0..1 as eight bits."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIZE = 512  # texels; one texel is half a micrometre
TEXELS_PER_UM = 2.0


def _pattern(rng: np.random.Generator, wavelengths: list[tuple[float, float, float]]) -> NDArray[np.float64]:
    """Sum filtered noises; each (along, across, weight) is a band of wavelengths, in texels, and its weight."""
    fx = np.fft.fftfreq(SIZE)[None, :]
    fy = np.fft.fftfreq(SIZE)[:, None]
    total = np.zeros((SIZE, SIZE))
    for along, across, weight in wavelengths:
        band = np.exp(-0.5 * ((fx * along) ** 2 + (fy * across) ** 2))
        band *= 1.0 - np.exp(-2.0 * ((fx * along) ** 2 + (fy * across) ** 2))
        waves = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * band).real
        total += weight * waves / waves.std()
    return total


def _bytes(pattern: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Convert to bytes by rank, so that 0..255 are equally frequent."""
    ranks = pattern.ravel().argsort().argsort().reshape(pattern.shape)
    return (ranks * 256 // pattern.size).astype(np.uint8)


def _cells(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the cell bodies about 13 um wide, each with its own tone, and the lines between them (darkest)."""
    from scipy.spatial import cKDTree

    across = 20
    lattice = np.stack(np.meshgrid(np.arange(across), np.arange(across)), -1).reshape(-1, 2)
    centres = (lattice + rng.uniform(0.1, 0.9, lattice.shape)) * (SIZE / across)
    tones = rng.uniform(0.35, 1.0, len(centres))
    points = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).reshape(-1, 2)
    distances, owners = cKDTree(centres, boxsize=SIZE).query(points, k=2)
    inside = np.clip((distances[:, 1] - distances[:, 0]) / 5.0, 0.0, 1.0)
    body: NDArray[np.float64] = (tones[owners[:, 0]] * inside).reshape(SIZE, SIZE)
    return body


@lru_cache(maxsize=1)
def textures() -> NDArray[np.uint8]:
    """Compute the patterns (5 SIZE SIZE): fibres along the second axis, granules, chromatin, waves, cells."""
    rng = np.random.default_rng(20)
    fibres = _pattern(rng, [(60, 7, 1.0), (110, 16, 0.9), (30, 3, 0.5)])
    granules = _pattern(rng, [(5, 5, 0.8), (12, 12, 1.0), (30, 30, 0.6)])
    chromatin = _pattern(rng, [(3, 3, 0.6), (6, 6, 1.0)])
    waves = _pattern(rng, [(24, 24, 0.6), (60, 60, 1.0)])
    return np.stack([_bytes(pattern) for pattern in (fibres, granules, chromatin, waves, _cells(rng))])
