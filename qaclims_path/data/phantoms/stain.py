"""Stains: families of colours, as different laboratories and scanners have, and one stain per patient."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

DENSITIES = 1024  # entries of the table from optical density to brightness
DENSITY_STEP = 1.0 / 256.0


@dataclass(frozen=True)
class Family:
    """A stain family: optical density of red, green and blue per unit of dye, and typical strengths of the dyes."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    blue: float
    pink: float


# within the range of measured slides; families differ in the hue of both dyes and in their balance, without overlap
FAMILIES = {
    "classic": Family((0.66, 0.72, 0.32), (0.10, 0.78, 0.34), 1.00, 1.00),
    "violet": Family((0.60, 0.78, 0.24), (0.16, 0.74, 0.22), 1.10, 0.85),
    "crimson": Family((0.56, 0.76, 0.42), (0.08, 0.80, 0.52), 0.95, 1.20),
    "pale": Family((0.70, 0.64, 0.28), (0.13, 0.66, 0.26), 0.72, 0.75),
    "blue": Family((0.74, 0.70, 0.34), (0.15, 0.70, 0.36), 1.10, 0.80),
    "magenta": Family((0.58, 0.84, 0.34), (0.06, 0.92, 0.40), 0.95, 1.15),
}


@dataclass(frozen=True)
class Stain:
    """The stain of one patient.

    Attributes:
        dyes: 2 3, optical density per unit of haematoxylin and of eosin.
        light: 3 `DENSITIES`, brightness 0..255 per optical density, one row per colour.
        size: Factor on the size of nuclei.
    """

    dyes: NDArray[np.float32]
    light: NDArray[np.float32]
    size: float


def key_of(*words: object) -> int:
    """Hash words to 63 bits.

    Examples:
        >>> key_of("layout", 1) == key_of("layout", 2)
        False
    """
    text = "\0".join(str(word) for word in words).encode("utf-8")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def family_of(patient: str, stain: str | None = None) -> str:
    """Return the stain family of a patient: the requested one, or one chosen from the patient's name."""
    names = list(FAMILIES)
    if stain is None:
        return names[key_of("family", patient) % len(names)]
    if stain not in FAMILIES:
        raise UsageError(f"There is no stain family '{stain}'. {suggest(stain, names)}")
    return stain


def stain_of(patient: str, stain: str | None = None) -> Stain:
    """Draw the stain of a patient within its family."""
    family = FAMILIES[family_of(patient, stain)]
    rng = np.random.default_rng(key_of("stain", patient))
    dyes = np.array([family.haematoxylin, family.eosin]) + rng.uniform(-0.03, 0.03, (2, 3))
    strength = np.array([family.blue, family.pink]) * np.exp(rng.uniform(-0.36, 0.36, 2))
    glass = rng.uniform(238, 247) + rng.uniform(-2.5, 2.5, 3)
    densities = np.arange(DENSITIES) * DENSITY_STEP
    light = glass[:, None] * np.exp(-densities)
    size = float(np.exp(rng.uniform(-0.10, 0.10)))
    return Stain((dyes * strength[:, None]).astype(np.float32), light.astype(np.float32), size)
