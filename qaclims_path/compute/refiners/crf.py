"""Dense conditional random fields (Kraehenbuehl and Koltun, 2011): align labels to the edges of an image.

Every pixel pulls all others towards its own label, more the closer they are (smoothness) and the closer they are in
both position and colour (appearance). Mean field rounds, symmetric normalisation and Potts compatibilities equal those
of the published implementations, up to rounding. All labellings of one image (such as the two of the published label
step) are refined together, on lattices that are built once.

The probabilities of a pixel add up to one, so the filtered last label follows from the others and is never computed.
"""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.compute.blending import SUM_MARGIN
from qaclims_path.compute.refiners.crf_settings import LABEL_STEP, CrfSettings
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
from qaclims_path.errors import QaclimsError

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

LOG2_E = np.float32(math.log2(math.e))
# 2**x on -1..0, fitted at Chebyshev's points
P0, P1, P2, P3, P4, P5 = (
    np.float32(p)
    for p in (
        0.9999998807907104,
        0.6931420564651489,
        0.2401743233203888,
        0.05529133975505829,
        0.009206240065395832,
        0.0009471896919421852,
    )
)
CAFFE_MEAN = 104.008, 116.669, 122.675  # blue green red, 0..255
MOST_PIXELS = 2048 * 2048  # of a dense CRF, which then takes gigabytes and minutes
CHUNK = 256  # pixels that pass through all filters together, small enough for the first cache


def label_energy(labels: U8, count: int, certainty: float = 0.7) -> F32:
    """Return energies (count H W) of hard labels.

    Args:
        labels: H W, below `count`.
        count: Number of labels.
        certainty: Probability that a pixel's label is right, between 0 and 1.
    """
    other = -np.log((1 - certainty) / max(count - 1, 1))
    own = labels == np.arange(count, dtype=labels.dtype)[:, None, None]
    return np.where(own, np.float32(-np.log(certainty)), np.float32(other)).astype(np.float32, copy=False)


def map_energy(probabilities: F32, least: float = 1e-5) -> F32:
    """Return energies (K H W) of probabilities, which are raised to at least `least`."""
    return -np.log(np.maximum(probabilities, np.float32(least)))


def dense_crf(image: U8, energies: F32, settings: CrfSettings = LABEL_STEP) -> F32:
    """Return probabilities (G K H W) of the K labels in G labellings of one image.

    Args:
        image: H W 3.
        energies: G K H W, finite, K at least 1.
        settings: Rounds and kernels.

    Examples:
        >>> image = np.zeros((4, 4, 3), np.uint8)
        >>> image[:, 2:] = 255
        >>> speck = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
        >>> dense_crf(image, label_energy(speck, 2)[None])[0].argmax(0)[0].tolist()
        [0, 0, 1, 1]
    """
    groups, count, height, width = energies.shape
    if image.shape != (height, width, 3):
        raise ValueError(f"the image has shape {image.shape}, the energies {energies.shape}")
    flat = energies.reshape(groups, count, -1)
    gains = np.ascontiguousarray(flat[:, -1:] - flat[:, :-1], np.float32)  # over the last label
    if not np.isfinite(gains).all():
        raise ValueError("energies must be finite")
    probabilities = np.ones((groups, count, height, width), np.float32)
    if count > 1:
        smooth = _smooth_lattice(height, width, settings.smooth_xy, settings.smooth_weight)
        colour = _colour_lattice(image, settings)
        found = _mean_field(gains, smooth, colour, settings.rounds)
        probabilities[:, :-1] = found.reshape(groups, count - 1, height, width)
        probabilities[:, -1] -= probabilities[:, :-1].sum(axis=1)
    return probabilities


def refine_probabilities(image: U8, probabilities: F32, settings: CrfSettings) -> F32:
    """Return refined class probabilities (K H W) of an image (H W 3), from those of a segmenter (K H W).

    Raises:
        QaclimsError: They are no probabilities, or the image is too large.
    """
    pixels = probabilities[0].size
    if pixels > MOST_PIXELS:
        raise QaclimsError(
            f"The image has {pixels / 1e6:.1f} million pixels, more than the {MOST_PIXELS / 1e6:.1f} million of a "
            "dense CRF, whose memory grows with them. Cut it into tiles, or leave the CRF out."
        )
    wrong = np.abs(probabilities.sum(axis=0) - 1).max() if probabilities.min(initial=0) > -SUM_MARGIN else np.inf
    if not wrong <= SUM_MARGIN:
        raise QaclimsError(
            "The scores are no probabilities: they do not add up to 1 over the classes of every pixel, so a dense CRF "
            "cannot refine them. Use those of a segmenter with finite weights, or leave the CRF out."
        )
    found: F32 = dense_crf(image, map_energy(probabilities)[None], settings)[0]
    return found


def wrapped_picture(image: U8) -> U8:
    """Return the picture that deeplab-pytorch gives to its dense CRF (H W 3, blue green red) instead of the image.

    It casts the input of the network to bytes, from which the mean is subtracted already: what is darker than the mean
    becomes bright.

    Examples:
        >>> wrapped_picture(np.array([[[130, 116, 110]]], np.uint8)).tolist()
        [[[5, 0, 7]]]
        >>> wrapped_picture(np.array([[[100, 116, 110]]], np.uint8)).tolist()
        [[[5, 0, 234]]]
    """
    less = image[..., ::-1] - np.array(CAFFE_MEAN, np.float32)
    return np.trunc(less).astype(np.int16).astype(np.uint8)


def _colour_lattice(image: U8, settings: CrfSettings) -> Lattice:
    height, width = image.shape[:2]
    image = wrapped_picture(image) if settings.wrapped else image
    points = np.empty((height, width, 5), np.float32)
    points[..., :2] = _positions(height, width, settings.colour_xy)
    points[..., 2:] = image / np.float32(settings.colour_rgb)
    return normalised(build_lattice(points.reshape(-1, 5)), settings.colour_weight)


def _positions(height: int, width: int, scale: float) -> F32:
    """Return column and row of every pixel (H W 2), in units of a kernel's standard deviation."""
    rows, columns = np.mgrid[:height, :width]
    return (np.stack([columns, rows], axis=-1) / scale).astype(np.float32)


@lru_cache(maxsize=2)
def _smooth_lattice(height: int, width: int, scale: float, weight: float) -> Lattice:
    """Build the lattice of the smoothness kernel, which all images of a size share."""
    return normalised(build_lattice(_positions(height, width, scale).reshape(-1, 2)), weight)


@njit(cache=True, nogil=True)
def _mean_field(gains: F32, smooth: Lattice, colour: Lattice, rounds: int) -> F32:
    """Return probabilities of all labels but the last.

    Args:
        gains: G K-1 N.
        smooth: Normalised lattice of the smoothness kernel.
        colour: Normalised lattice of the appearance kernel.
        rounds: Number of rounds, at least 0.

    Returns:
        G * (K-1) N.
    """
    groups, free, n = gains.shape
    blocks = (groups * free + LANES - 1) // LANES
    near, alike = empty_values(smooth, blocks), empty_values(colour, blocks)
    everything = _filtered_ones(smooth, colour)
    labels = np.zeros((blocks * LANES, n), np.float32)
    for turn in range(rounds + 1):
        if turn:
            near[:], alike[:] = 0, 0
            splat(labels, 0, n, smooth, near)
            splat(labels, 0, n, colour, alike)
            blur(near, smooth)
            blur(alike, colour)
            labels[:] = 0
        for first in range(0, n, CHUNK):
            last = min(first + CHUNK, n)
            if turn:
                collect(labels, first, last, smooth, near)
                collect(labels, first, last, colour, alike)
                _over_last(labels, everything, gains.shape, first, last)
            _to_probabilities(labels, gains, first, last)
    found: F32 = labels[: groups * free]
    return found


@njit(cache=True, nogil=True)
def _filtered_ones(smooth: Lattice, colour: Lattice) -> F32:
    """Filter an image of ones (N) with both kernels."""
    n = len(smooth.corners)
    ones, total = np.zeros((LANES, n), np.float32), np.zeros((LANES, n), np.float32)
    ones[0] = 1
    for lattice in (smooth, colour):
        values = empty_values(lattice, 1)
        splat(ones, 0, n, lattice, values)
        blur(values, lattice)
        collect(total, 0, n, lattice, values)
    found: F32 = total[0]
    return found


@njit(cache=True, nogil=True, fastmath=True)
def _over_last(labels: F32, everything: F32, shape: tuple[int, int, int], first: int, last: int) -> None:
    """Subtract from the messages of labels (K N) the message of the last label, which is the rest of `everything`."""
    groups, free = shape[:2]
    for start in range(0, groups * free, free):
        rest = everything[first:last].copy()
        for k in range(start, start + free):
            for i in range(first, last):
                rest[i - first] -= labels[k, i]
        for k in range(start, start + free):
            for i in range(first, last):
                labels[k, i] -= rest[i - first]


@njit(cache=True, nogil=True, fastmath=True)
def _to_probabilities(labels: F32, gains: F32, first: int, last: int) -> None:
    """Add the gains of the unary energies (G K-1 N) and take the softmax; the last label has gain 0."""
    groups, free = gains.shape[:2]
    top, power = np.empty(last - first, np.float32), np.empty(last - first, np.int32)
    for g in range(groups):
        top[:] = 0
        for k in range(free):
            row, gain = labels[g * free + k, first:last], gains[g, k, first:last]
            for i in range(len(row)):
                row[i] += gain[i]
                top[i] = max(top[i], row[i])
        total = -top
        _exponential(total, power)
        for k in range(free):
            row = labels[g * free + k, first:last]
            for i in range(len(row)):
                row[i] -= top[i]
            _exponential(row, power)
            for i in range(len(row)):
                total[i] += row[i]
        for k in range(free):
            row = labels[g * free + k, first:last]
            for i in range(len(row)):
                row[i] /= total[i]


@njit(cache=True, nogil=True, fastmath=True)
def _exponential(x: F32, power: I32) -> None:
    """Replace numbers up to zero (n) by their exponential, in vector steps, with a relative error of 2e-6.

    2 to the integer part is composed from its bits, 2 to the fraction is a polynomial.
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
