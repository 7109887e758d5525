"""Paint the dye of every pixel, then convert dye to colour by the law of Beer and Lambert.

The unit of dye is that of a well stained nucleus (haematoxylin) or of dense collagen (eosin).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.data.phantoms.layout import (
    BLUE,
    FAT,
    FIBRE,
    FIELDS,
    FOLD,
    KIND,
    LUMEN,
    LYMPHOCYTE,
    NECROSIS,
    NEST,
    PINK,
    STEP,
    STROMA,
    TISSUE,
    TUMOR,
    tissue_at,
)
from qaclims_path.data.phantoms.noise import Key, cell, scramble
from qaclims_path.data.phantoms.stain import DENSITIES, DENSITY_STEP
from qaclims_path.data.phantoms.textures import SIZE, TEXELS_PER_UM

Fields = NDArray[np.float32]  # rows, columns, FIELDS
Planes = NDArray[np.float32]  # 4 H W: haematoxylin, eosin, and the local uptake of each
WRAP = SIZE - 1
ADIPOCYTE = 62.0  # um between centres of fat cells


@njit(cache=True, inline="always")
def texel(texture, which, u, v):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return the value (-0.5..0.5) of a repeating pattern at u, v um."""
    column = np.int64(np.floor(u * TEXELS_PER_UM)) & WRAP
    row = np.int64(np.floor(v * TEXELS_PER_UM)) & WRAP
    return np.float32(texture[which, row, column]) * np.float32(1.0 / 255.0) - np.float32(0.5)


@njit(cache=True, inline="always")
def stroma(point, fibre, grain):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return the dyes of stroma: dense pink collagen, loose collagen with clefts, or bluish ground substance."""
    kind = point[KIND]
    loose = max(kind - np.float32(0.35), np.float32(0.0))
    dense = np.float32(0.58) + np.float32(0.42) * fibre + np.float32(0.12) * grain
    cleft = max(np.float32(0.0), np.float32(0.45) * loose - fibre - np.float32(0.38)) * np.float32(2.2)
    pink = max(dense * (np.float32(1.0) - np.float32(0.45) * loose) - cleft, np.float32(0.04))
    blue = np.float32(0.05) + np.float32(0.20) * kind * kind + np.float32(0.06) * fibre
    # stroma retracts from some nests and leaves a pale rim
    if point[NEST] > -7.0 and point[PINK] > 0.1:
        pink *= np.float32(0.45)
        blue *= np.float32(0.5)
    return blue, pink


@njit(cache=True, inline="always")
def necrosis(point, grain, fine, wave):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return the dyes of necrosis: granular pink debris without fibres, bluer where nuclei have disintegrated."""
    clump = max(grain + np.float32(0.6) * wave + np.float32(0.10), np.float32(0.0))
    pink = np.float32(0.34) + np.float32(0.50) * clump + np.float32(0.28) * fine
    blue = np.float32(0.05) + np.float32(0.22) * point[KIND] + np.float32(0.25) * clump * (point[KIND] + fine)
    return max(blue, np.float32(0.02)), max(pink, np.float32(0.05))


@njit(cache=True, inline="always")
def ground_dye(code, point, key, x, y, texture, along, grain, wave):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return haematoxylin and eosin between the nuclei."""
    zero = np.float32(0.0)
    if code == STROMA:
        return stroma(point, texel(texture, 0, along, point[FIBRE]), grain)
    if code == TUMOR:
        fine = texel(texture, 2, y, x)
        body = texel(texture, 4, x, y)  # the line between two cells is -0.5
        blue = np.float32(0.20) + np.float32(0.22) * point[KIND] + np.float32(0.12) * grain + np.float32(0.08) * fine
        return blue + np.float32(0.12) * body, np.float32(0.44) + np.float32(0.12) * fine - np.float32(0.26) * body
    if code == LYMPHOCYTE:
        fibre = texel(texture, 0, along, point[FIBRE])
        return np.float32(0.18) + np.float32(0.1) * grain, max(np.float32(0.36) + np.float32(0.28) * fibre, zero)
    if code == NECROSIS:
        return necrosis(point, grain, texel(texture, 2, x, y), wave)
    if point[FAT] > 0.0 and point[TISSUE] > 0.0:
        border = cell(key ^ 0x71, (x + 5.0 * wave) / ADIPOCYTE, (y + 5.0 * wave) / ADIPOCYTE, 0.8)[2] * ADIPOCYTE
        wall = min(max(np.float32(0.0), np.float32((2.6 + wave - border) / 1.6)), np.float32(1.0))
        return np.float32(0.10) * wall, np.float32(0.55) * wall
    secretion = (
        np.float32(0.16) * max(zero, grain - np.float32(0.15)) if point[LUMEN] > 4.0 and point[TISSUE] > 0.0 else zero
    )
    return zero, secretion


@njit(cache=True)
def ground(
    planes: Planes,
    truth: NDArray[np.uint8],
    fields: Fields,
    origin: tuple[int, int, int, int, float],
    key: Key,
    texture: NDArray[np.uint8],
    tilt: tuple[float, float],
) -> None:
    """Paint everything except nuclei, and the truth.

    Args:
        planes: 4 H W, overwritten.
        truth: H W class codes, overwritten.
        fields: Layout around the block.
        origin: Left and top in pixels, first column and row of the fields in grid points, pixel size in um.
        key: Layout key of the slide.
        texture: Patterns from `textures`.
        tilt: Cosine and sine of the direction of fibres.
    """
    left, top, column0, row0, mpp = origin
    point = np.empty(FIELDS, np.float32)
    line = np.empty((fields.shape[1], FIELDS), np.float32)
    for py in range(truth.shape[0]):
        y = (top + py + 0.5) * mpp
        gy = y / STEP - row0
        row = np.int64(gy)
        share = np.float32(gy - row)
        line[:] = fields[row] + (fields[row + 1] - fields[row]) * share
        for px in range(truth.shape[1]):
            x = (left + px + 0.5) * mpp
            gx = x / STEP - column0
            column = np.int64(gx)
            share = np.float32(gx - column)
            for f in range(FIELDS):
                point[f] = line[column, f] + (line[column + 1, f] - line[column, f]) * share
            grain = texel(texture, 1, x, y)
            wave = texel(texture, 3, x, y)
            code = tissue_at(point, np.float32(6.0) * wave)
            truth[py, px] = code
            blue, pink = ground_dye(code, point, key, x, y, texture, x * tilt[0] + y * tilt[1], grain, wave)
            planes[0, py, px], planes[1, py, px] = blue, pink
            pile = np.float32(1.0 + 0.9 * min(max(point[FOLD] / 3.0, 0.0), 1.0))
            planes[2, py, px] = pile * max(np.float32(0.45), np.float32(1.0) + np.float32(0.58) * point[BLUE])
            planes[3, py, px] = pile * max(np.float32(0.45), np.float32(1.0) + np.float32(0.58) * point[PINK])


@njit(cache=True)
def develop(
    planes: Planes, dyes: NDArray[np.float32], light: NDArray[np.float32], corner: tuple[int, int], key: Key
) -> NDArray[np.uint8]:
    """Convert dye to colour (H W 3) and add camera noise; `corner` is left and top in pixels."""
    rgb = np.empty((planes.shape[1], planes.shape[2], 3), np.uint8)
    scale = np.float32(1.0 / DENSITY_STEP)
    for py in range(rgb.shape[0]):
        for px in range(rgb.shape[1]):
            blue = planes[0, py, px] * planes[2, py, px] * scale
            pink = planes[1, py, px] * planes[3, py, px] * scale
            bits = scramble(key, corner[0] + px, corner[1] + py)
            for c in range(3):
                density = int(blue * dyes[0, c] + pink * dyes[1, c])
                # the sum of two uniform numbers approximates camera noise
                noise = np.float32((bits >> np.uint64(10 * c)) & np.uint64(0x3FF)) + np.float32(
                    (bits >> np.uint64(10 * c + 30)) & np.uint64(0x3FF)
                )
                value = light[c, min(density, DENSITIES - 1)] + (noise - np.float32(1023.0)) * np.float32(0.005)
                rgb[py, px, c] = int(min(max(value, 0.0), 255.0))
    return rgb
