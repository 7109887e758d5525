"""Compiled loops over pixels for `stain`; they release Python's lock."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


I64 = NDArray[np.int64]

# Three densities are packed into one word of 63 bits, so that one addition adds all three: fixed-point numbers of FIELD
# bits, each raised by BIAS so that none becomes negative and borrows from its neighbour.
FIELD, FRACTION = 21, 5
BIAS = 1 << (FIELD - 1)
LARGEST_PART = BIAS // 3 - (1 << FRACTION)  # the sum of three, of either sign, fits into a field


def packed(parts: NDArray[np.float64]) -> I64:
    """Pack the contributions of values to three densities (3 256 3) into one word per channel and value (3 256)."""
    fixed = np.clip(np.rint(parts * (1 << FRACTION)), -LARGEST_PART, LARGEST_PART).astype(np.int64)
    fixed[0] += BIAS + (1 << (FRACTION - 1))  # half a step, because the loop rounds down
    words: I64 = fixed[..., 0] + (fixed[..., 1] << FIELD) + (fixed[..., 2] << 2 * FIELD)
    return words


@njit(cache=True, nogil=True, fastmath=True)
def macenko_loop(image: U8, parts: I64, light: F32, glass: F32, out: U8) -> None:
    """Add up the densities that red, green and blue contribute and look up the new brightness.

    Args:
        image: N 3.
        parts: 3 256, `packed`, in steps of `light`.
        light: 3 M, brightness by density.
        glass: 3 256, share of a pixel that is glass and does not change; the lowest of the three channels counts.
        out: N 3.
    """
    last = light.shape[1] - 1
    mask, zero = (1 << FIELD) - 1, BIAS >> FRACTION
    half = np.float32(0.5)
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        word = parts[0, r] + parts[1, g] + parts[2, b]
        red = light[0, min(max(((word & mask) >> FRACTION) - zero, 0), last)]
        green = light[1, min(max((((word >> FIELD) & mask) >> FRACTION) - zero, 0), last)]
        blue = light[2, min(max((word >> (2 * FIELD + FRACTION)) - zero, 0), last)]
        keep = min(glass[0, r], glass[1, g], glass[2, b])
        if keep > 0:
            red += keep * (np.float32(r) - red)
            green += keep * (np.float32(g) - green)
            blue += keep * (np.float32(b) - blue)
        out[i, 0], out[i, 1], out[i, 2] = np.uint8(red + half), np.uint8(green + half), np.uint8(blue + half)


@njit(cache=True, nogil=True, fastmath=True)
def lab_loop(
    image: U8, parts: F32, roots: F32, back: F32, srgb: F32, glass: F32, factor: F32, offset: F32, out: U8
) -> None:
    """Convert to CIELAB, multiply by `factor`, add `offset`, and convert back.

    Args:
        image: N 3.
        parts: 3 256 3, contribution of a channel's value to X, Y and Z, in steps of `roots`.
        roots: M, CIELAB's f.
        back: 3 3, from X, Y, Z to linear light in steps of `srgb`.
        srgb: K, 0..255 by linear light.
        glass: 3 256, as for `macenko_loop`.
        factor: 3, for L, a, b.
        offset: 3.
        out: N 3.
    """
    xyz = np.empty(3, np.float32)
    last = len(srgb) - 1
    half = np.float32(0.5)
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        keep = min(glass[0, r], glass[1, g], glass[2, b])
        for c in range(3):
            position = parts[0, r, c] + parts[1, g, c] + parts[2, b, c]
            entry = np.int32(position)
            xyz[c] = roots[entry] + (position - np.float32(entry)) * (roots[entry + 1] - roots[entry])
        lightness = (np.float32(116) * xyz[1] - np.float32(16)) * factor[0] + offset[0]
        a = np.float32(500) * (xyz[0] - xyz[1]) * factor[1] + offset[1]
        yellow = np.float32(200) * (xyz[1] - xyz[2]) * factor[2] + offset[2]
        fy = (lightness + np.float32(16)) * np.float32(1 / 116)
        xyz[0], xyz[1], xyz[2] = fy + a * np.float32(1 / 500), fy, fy - yellow * np.float32(1 / 200)
        for c in range(3):
            f = xyz[c]
            xyz[c] = f * f * f if f > np.float32(6 / 29) else (f - np.float32(16 / 116)) * np.float32(27 * 116 / 24389)
        for c in range(3):
            linear = back[c, 0] * xyz[0] + back[c, 1] * xyz[1] + back[c, 2] * xyz[2] + half
            new = srgb[min(max(int(linear), 0), last)]
            out[i, c] = np.uint8(new + keep * (np.float32(image[i, c]) - new) + half)
