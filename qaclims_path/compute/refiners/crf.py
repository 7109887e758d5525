"""Dense conditional random fields (Kraehenbuehl and Koltun, 2011): labels that follow the edges of the picture.

Every pixel pulls every other towards its own label, the more the closer they are (smoothness) and the closer they are
in place and colour (appearance). Mean field rounds, symmetric normalisation and Potts compatibilities are those of the
published implementations, to rounding. All labellings of one image (such as the two of the published label step) are
worked on together, on lattices that are built once.

Probabilities of an image's labels add up to one, so what the filters make of the last label follows from the others;
it is never filtered.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.compute.refiners.lattice import (
    LANES,
    Lattice,
    blur,
    build_lattice,
    collect,
    empty_values,
    normalised,
    splat,
)

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

LOG2_E = np.float32(math.log2(math.e))
# 2**x on -1..0, fitted at Chebyshev's points
P0, P1, P2, P3, P4, P5 = (
    np.float32(p)
    for p in (0.9999998807907104, 0.6931420564651489, 0.2401743233203888, 0.05529133975505829, 0.009206240065395832,
              0.0009471896919421852)
)
CHUNK = 256  # pixels that go from one filter to the next while they are in the first cache


@dataclass(frozen=True)
class CrfSettings:
    """Rounds, and for each kernel its standard deviations (pixels, grey levels of 255) and weight.

    The defaults are those of the published label step (hard labels, before the boundary network is trained).
    """

    rounds: int = 10
    smooth_xy: float = 3.0
    smooth_weight: float = 3.0
    colour_xy: float = 50.0
    colour_rgb: float = 5.0
    colour_weight: float = 10.0


LABEL_STEP = CrfSettings()
SEGMENTER = CrfSettings(smooth_xy=1.0, colour_xy=67.0, colour_rgb=3.0, colour_weight=4.0)


def label_energy(labels: U8, count: int, certainty: float = 0.7) -> F32:
    """Energies (count H W) of hard labels: a pixel's own label is right with this probability.

    Args:
        labels: H W, below `count`.
        count: How many labels there are, at least 2.
        certainty: Between 0 and 1.
    """
    other = -np.log((1 - certainty) / (count - 1))
    own = labels == np.arange(count, dtype=labels.dtype)[:, None, None]
    return np.where(own, np.float32(-np.log(certainty)), np.float32(other))


def map_energy(probabilities: F32, least: float = 1e-5) -> F32:
    """Energies (K H W) of probabilities, none of which is taken for less than `least`."""
    return -np.log(np.maximum(probabilities, np.float32(least)))


def dense_crf(image: U8, energies: F32, settings: CrfSettings = LABEL_STEP) -> F32:
    """Probabilities (G K H W) of the K labels of G labellings of one image.

    Args:
        image: H W 3.
        energies: G K H W, finite, K at least 2.
        settings: Rounds and kernels.

    Example:
        >>> picture = np.zeros((4, 4, 3), np.uint8)
        >>> picture[:, 2:] = 255
        >>> speck = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
        >>> dense_crf(picture, label_energy(speck, 2)[None])[0].argmax(0)[0].tolist()
        [0, 0, 1, 1]
    """
    groups, count, height, width = energies.shape
    if image.shape != (height, width, 3):
        raise ValueError(f"the image has shape {image.shape}, the energies {energies.shape}")
    smooth = _smooth_lattice(height, width, settings.smooth_xy, settings.smooth_weight)
    points = np.empty((height, width, 5), np.float32)
    points[..., :2] = _places(height, width, settings.colour_xy)
    points[..., 2:] = image / np.float32(settings.colour_rgb)
    colour = normalised(build_lattice(points.reshape(-1, 5)), settings.colour_weight)
    flat = energies.reshape(groups, count, -1)
    gains = flat[:, -1:] - flat[:, :-1]  # of every label over the last
    probabilities = np.empty((groups, count, height * width), np.float32)
    if height * width:
        _mean_field(np.ascontiguousarray(gains, np.float32), smooth, colour, settings.rounds, probabilities)
    return probabilities.reshape(energies.shape)


def _places(height: int, width: int, scale: float) -> F32:
    """Column and row of every pixel (H W 2), in units of a kernel's standard deviation."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([columns, rows], axis=-1) / np.float32(scale)


@lru_cache(maxsize=2)
def _smooth_lattice(height: int, width: int, scale: float, weight: float) -> Lattice:
    """The lattice of the smoothness kernel, which all images of a size share."""
    return normalised(build_lattice(_places(height, width, scale).reshape(-1, 2)), weight)


@njit(cache=True, nogil=True)
def _mean_field(gains: F32, smooth: Lattice, colour: Lattice, rounds: int, out: F32) -> None:
    """Mean field rounds.

    Args:
        gains: G K-1 N.
        smooth: Normalised.
        colour: Normalised.
        rounds: At least 0.
        out: G K N, gets the probabilities.
    """
    groups, free, n = gains.shape
    blocks = (groups * free + LANES - 1) // LANES
    near, alike = empty_values(smooth, blocks), empty_values(colour, blocks)
    next_near, next_alike = np.zeros_like(near), np.zeros_like(alike)
    everything = _filtered_ones(smooth, colour)
    chunk = np.zeros((blocks * LANES, CHUNK), np.float32)
    for turn in range(rounds + 1):
        blur(near, smooth)
        blur(alike, colour)
        next_near[:] = 0
        next_alike[:] = 0
        for first in range(0, n, CHUNK):
            last = min(first + CHUNK, n)
            part = chunk[:, : last - first]
            part[:] = 0
            if turn:
                collect(part, first, smooth, near)
                collect(part, first, colour, alike)
                _turn(part, everything[first:last], free)
            _to_probabilities(part, gains[:, :, first:last])
            if turn < rounds:
                splat(part, first, smooth, next_near)
                splat(part, first, colour, next_alike)
            else:
                _write(part, out[:, :, first:last])
        near, next_near = next_near, near
        alike, next_alike = next_alike, alike


@njit(cache=True, nogil=True)
def _filtered_ones(smooth: Lattice, colour: Lattice) -> F32:
    """What the filters make of a picture of ones (N)."""
    n = len(smooth.corners)
    ones, total = np.zeros((LANES, n), np.float32), np.zeros((LANES, n), np.float32)
    ones[0] = 1
    for lattice in (smooth, colour):
        values = empty_values(lattice, 1)
        splat(ones, 0, lattice, values)
        blur(values, lattice)
        collect(total, 0, lattice, values)
    return total[0]


@njit(cache=True, nogil=True, fastmath=True)
def _turn(part: F32, everything: F32, free: int) -> None:
    """From what the labels gain by their neighbours (K n) to what they gain over the last label, which has the rest."""
    for start in range(0, len(part) - free + 1, free):
        rest = everything.copy()
        for k in range(start, start + free):
            for i in range(len(rest)):
                rest[i] -= part[k, i]
        for k in range(start, start + free):
            for i in range(len(rest)):
                part[k, i] -= rest[i]


@njit(cache=True, nogil=True, fastmath=True)
def _to_probabilities(part: F32, gains: F32) -> None:
    """Add the gains of the picture itself (G K-1 n) and take the softmax, the last label having gained nothing."""
    groups, free, n = gains.shape
    top, total, power = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32)
    for g in range(groups):
        rows = part[g * free : (g + 1) * free]
        top[:] = 0
        for k in range(free):
            for i in range(n):
                rows[k, i] += gains[g, k, i]
                top[i] = max(top[i], rows[k, i])
        for i in range(n):
            total[i] = -top[i]
        _exponential(total, power)
        for k in range(free):
            for i in range(n):
                rows[k, i] -= top[i]
            _exponential(rows[k], power)
            for i in range(n):
                total[i] += rows[k, i]
        for i in range(n):
            total[i] = 1 / total[i]
        for k in range(free):
            for i in range(n):
                rows[k, i] *= total[i]


@njit(cache=True, nogil=True, fastmath=True)
def _exponential(x: F32, power: I32) -> None:
    """Exponential of numbers up to zero (n), in place and in vector steps, right to 2e-6 of the result.

    2 to the whole part is put together from its bits, 2 to the rest is a polynomial.
    """
    for i in range(len(x)):
        log2 = max(x[i] * LOG2_E, np.float32(-126))
        whole = np.int32(log2)
        rest = log2 - np.float32(whole)
        power[i] = (whole + np.int32(127)) << np.int32(23)
        x[i] = P0 + rest * (P1 + rest * (P2 + rest * (P3 + rest * (P4 + rest * P5))))
    scale = power.view(np.float32)
    for i in range(len(x)):
        x[i] *= scale[i]


@njit(cache=True, nogil=True, fastmath=True)
def _write(part: F32, out: F32) -> None:
    """Put the probabilities where they belong (G K n), and what is left to the last label."""
    groups, count, n = out.shape
    for g in range(groups):
        out[g, count - 1] = 1
        for k in range(count - 1):
            row = part[g * (count - 1) + k]
            for i in range(n):
                out[g, k, i] = row[i]
                out[g, count - 1, i] -= row[i]
