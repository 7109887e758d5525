"""Random numbers by position: each is a hash of seed, purpose and position.

A pixel is therefore the same whether the whole slide, a band or a small region is painted.
"""

import numpy as np
from numba import njit

Key = int  # 64 bits


@njit(cache=True, inline="always")
def scramble(key, i, j):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - compiled for several integer types
    """Return 64 random bits for a key and a lattice point."""
    x = np.uint64(key) ^ (np.uint64(i) * np.uint64(0x9E3779B97F4A7C15))
    x ^= (x >> np.uint64(29)) ^ (np.uint64(j) * np.uint64(0xC2B2AE3D27D4EB4F))
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


@njit(cache=True, inline="always")
def part(bits, which):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return one of the four uniform numbers 0..1 inside 64 random bits."""
    return np.float64((bits >> np.uint64(16 * which)) & np.uint64(0xFFFF)) / 65536.0


@njit(cache=True)
def smooth(key: Key, x: float, y: float) -> float:
    """Return smooth noise of wavelength 1, about -1..1."""
    i, j = np.floor(x), np.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    a, b = np.int64(i), np.int64(j)
    top = part(scramble(key, a, b), 0) * (1.0 - u) + part(scramble(key, a + 1, b), 0) * u
    low = part(scramble(key, a, b + 1), 0) * (1.0 - u) + part(scramble(key, a + 1, b + 1), 0) * u
    return float((top * (1.0 - v) + low * v) * 2.0 - 1.0)


@njit(cache=True)
def cell(key: Key, x: float, y: float, jitter: float) -> tuple[int, int, float]:
    """Find the cell of a Voronoi pattern of spacing 1 around a point: lattice indices, and distance to its border."""
    ci, cj = np.int64(np.floor(x)), np.int64(np.floor(y))
    xs, ys = np.empty(9), np.empty(9)
    best, nearest = 1e9, 0
    for n in range(9):
        i, j = ci + n % 3 - 1, cj + n // 3 - 1
        bits = scramble(key, i, j)
        xs[n] = i + 0.5 + jitter * (part(bits, 0) - 0.5) - x
        ys[n] = j + 0.5 + jitter * (part(bits, 1) - 0.5) - y
        squared = xs[n] * xs[n] + ys[n] * ys[n]
        if squared < best:
            best, nearest = squared, n
    crowd = 0.0
    for n in range(9):
        if n != nearest:
            dx, dy = xs[n] - xs[nearest], ys[n] - ys[nearest]
            # distance from the point to the line half-way between the two centres
            half = 0.5 * ((xs[n] + xs[nearest]) * dx + (ys[n] + ys[nearest]) * dy) / np.sqrt(dx * dx + dy * dy)
            crowd += 1.0 / max(half * half, 1e-6) ** 2
    # a soft minimum over the neighbours rounds the corners
    return int(ci + nearest % 3 - 1), int(cj + nearest // 3 - 1), float(1.0 / np.sqrt(np.sqrt(crowd)))
