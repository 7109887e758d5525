"""The loops over pixels behind `stain`, compiled; they leave Python's lock to others while they run."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@njit(cache=True, nogil=True, fastmath=True)
def macenko_loop(image: U8, parts: F32, light: F32, glass: F32, out: U8) -> None:
    """Add up the densities that red, green and blue contribute and look up the new brightness.

    Args:
        image: N 3.
        parts: 3 256 3, contribution of a channel's value to each new density, in steps of `light`.
        light: 3 M, brightness by density.
        glass: 3 256, how much of a pixel is glass and stays; the least of three channels counts.
        out: N 3.
    """
    last = light.shape[1] - 1
    half = np.float32(0.5)
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        keep = min(glass[0, r], glass[1, g], glass[2, b])
        for c in range(3):
            density = parts[0, r, c] + parts[1, g, c] + parts[2, b, c] + half
            new = light[c, min(max(np.int32(density), 0), last)]
            out[i, c] = np.uint8(new + keep * (np.float32(image[i, c]) - new) + half)


@njit(cache=True, nogil=True, fastmath=True)
def lab_loop(
    image: U8, parts: F32, roots: F32, back: F32, srgb: F32, glass: F32, factor: F32, offset: F32, out: U8
) -> None:
    """To CIELAB, times `factor` plus `offset`, and back.

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
            place = parts[0, r, c] + parts[1, g, c] + parts[2, b, c]
            entry = np.int32(place)
            xyz[c] = roots[entry] + (place - np.float32(entry)) * (roots[entry + 1] - roots[entry])
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
            new = srgb[min(max(np.int32(linear), 0), last)]
            out[i, c] = np.uint8(new + keep * (np.float32(image[i, c]) - new) + half)
