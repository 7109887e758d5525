"""Paint nuclei: crowded and uneven in tumour, thin along fibres, small and round in lymphocytes, dying in necrosis."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.data.phantoms.layout import (
    FIBRE,
    FIELDS,
    KIND,
    LUMEN,
    LYMPH,
    LYMPHOCYTE,
    NEST,
    STEP,
    STROMA,
    TUMOR,
    tissue_at,
)
from qaclims_path.data.phantoms.noise import Key, part, scramble
from qaclims_path.data.phantoms.paint import Fields, Planes, texel

REACH = 16.0  # um, largest distance of a nucleus from its centre
SPACING = (8.6, 15.0, 5.9, 7.5)  # um between candidates, by class code


@njit(cache=True)
def look(fields: Fields, gx: float, gy: float, point: NDArray[np.float32]) -> None:
    """Interpolate all fields at a position in grid points, into `point`."""
    column, row = np.int64(gx), np.int64(gy)
    u, v = np.float32(gx - column), np.float32(gy - row)
    for f in range(FIELDS):
        top = fields[row, column, f] * (1 - u) + fields[row, column + 1, f] * u
        low = fields[row + 1, column, f] * (1 - u) + fields[row + 1, column + 1, f] * u
        point[f] = top * (1 - v) + low * v


@njit(cache=True)
def slope(fields: Fields, gx: float, gy: float, field: int) -> tuple[float, float]:
    """Return the unit gradient of a field; (1, 0) where it is flat."""
    column, row = np.int64(gx), np.int64(gy)
    dx = fields[row, column + 1, field] - fields[row, column, field]
    dy = fields[row + 1, column, field] - fields[row, column, field]
    length = np.sqrt(dx * dx + dy * dy)
    return (dx / length, dy / length) if length > 1e-6 else (1.0, 0.0)


@njit(cache=True)
def tumor_cell(point: NDArray[np.float32], bits: int, more: int, body: NDArray[np.float64]) -> bool:
    """Describe a tumour nucleus: large, uneven, pale with a nucleolus or dark; in glands, in a row at the rim."""
    kind = point[KIND]
    if point[LUMEN] > -900.0 and (point[LUMEN] > -6.0 or point[NEST] < 3.0):
        return False
    if point[NEST] < 2.0 or part(bits, 2) > 0.93 - 0.25 * kind:
        return False
    size = (3.6 + 1.3 * kind) * (0.78 + 0.65 * part(more, 0) ** 2)
    slim = 0.62 if point[LUMEN] > -900.0 else 0.70 + 0.28 * part(more, 1)
    body[:] = size / np.sqrt(slim), size * np.sqrt(slim), 0.80 + 0.55 * part(more, 2), 0.45 * kind, 0.8, 0.26, 0.28
    return True


@njit(cache=True)
def stroma_cell(point: NDArray[np.float32], bits: int, more: int, body: NDArray[np.float64]) -> bool:
    """Describe a spindle-shaped nucleus along the fibres, or a scattered lymphocyte."""
    near = max(0.0, 1.0 + point[LYMPH] / 35.0)  # lymphocytes scatter around their aggregates
    if part(bits, 2) > 0.30 + 0.62 * max(point[KIND], near):
        return False
    if part(more, 0) < 0.08 + 0.7 * near:
        body[:] = 3.0, 2.8, 1.30, 0.1, 0.5, 0.0, 0.1
        return True
    length = 5.0 + 4.5 * part(more, 1)
    body[:] = length, 1.3 + 1.1 * part(more, 2), 0.75 + 0.55 * part(more, 3), 0.15, 0.4, 0.0, 0.25
    return True


@njit(cache=True)
def lymphocyte(point: NDArray[np.float32], bits: int, more: int, body: NDArray[np.float64]) -> bool:
    """Describe a lymphocyte: small, round and dark with clumped chromatin; some aggregates are looser and paler."""
    kind = point[KIND]
    if part(bits, 2) > 0.97 - 0.42 * kind:
        return False
    size = 2.55 + 0.75 * part(more, 0)
    body[:] = (
        size,
        size * (0.88 + 0.12 * part(more, 1)),
        1.25 - 0.40 * kind + 0.25 * part(more, 2),
        0.12,
        0.9,
        0.0,
        0.10,
    )
    return True


@njit(cache=True)
def dead_cell(point: NDArray[np.float32], bits: int, more: int, body: NDArray[np.float64]) -> bool:
    """Describe a dying nucleus: a ghost outline, a shrunken dark nucleus, or debris."""
    draw = part(bits, 2)
    dirty = 0.20 + 0.45 * point[KIND]
    if draw < 0.18:
        body[:] = 4.5, 3.8, 0.22 + 0.12 * part(more, 0), 0.9, 0.3, 0.0, 0.3
    elif draw < 0.18 + 0.25 * dirty:
        size = 1.6 + 0.9 * part(more, 0)
        body[:] = size, size * 0.85, 1.05 + 0.4 * part(more, 1), 0.0, 0.3, 0.0, 0.4
    elif draw < 0.18 + dirty:
        size = 0.6 + 0.7 * part(more, 0)
        body[:] = size, size, 0.8 + 0.5 * part(more, 1), 0.0, 0.2, 0.0, 0.3
    else:
        return False
    return True


@njit(cache=True)
def choose(code: int, point: NDArray[np.float32], bits: int, more: int, body: NDArray[np.float64]) -> bool:
    """Fill `body` with a nucleus of this class; return False if there is none here.

    Body: long and short half axis (um), haematoxylin, paleness of the centre, coarseness of chromatin, radius of the
    nucleolus (as a share of the short axis), unevenness of the outline.
    """
    if code == TUMOR:
        return tumor_cell(point, bits, more, body)
    if code == STROMA:
        return stroma_cell(point, bits, more, body)
    if code == LYMPHOCYTE:
        return lymphocyte(point, bits, more, body)
    return dead_cell(point, bits, more, body)


@njit(cache=True)
def stamp(
    planes: Planes,
    body: NDArray[np.float64],
    centre: tuple[float, float],
    axis: tuple[float, float],
    mpp: float,
    texture: NDArray[np.uint8],
    more: int,
) -> None:
    """Paint one nucleus; `centre` is in pixels of the block, `axis` the unit vector of its long side."""
    long, short, dark, pale, coarse, nucleolus, uneven = body
    box = (1.15 * (1.0 + uneven) * long + 0.5) / mpp
    x0, x1 = max(0, int(centre[0] - box)), min(planes.shape[2], int(centre[0] + box) + 2)
    y0, y1 = max(0, int(centre[1] - box)), min(planes.shape[1], int(centre[1] + box) + 2)
    bend = 0.5 * (part(more, 3) - 0.5) * uneven / short
    shift_u, shift_v = 40.0 * part(more, 0), 40.0 * part(more, 1)
    spot_u, spot_v = (part(more, 1) - 0.5) * 0.6 * long, (part(more, 2) - 0.5) * 0.6 * short
    spot = (nucleolus * short) ** 2
    sharp = np.float32(short / (1.2 * max(mpp, 0.35)))
    for py in range(y0, y1):
        dy = (py + 0.5 - centre[1]) * mpp
        for px in range(x0, x1):
            dx = (px + 0.5 - centre[0]) * mpp
            u = dx * axis[0] + dy * axis[1]
            v = dy * axis[0] - dx * axis[1] + bend * u * u
            q = (u / long) ** 2 + (v / short) ** 2
            if q > 1.6:
                continue
            grain = texel(texture, 2, u + shift_u, v + shift_v)
            q += uneven * 1.6 * texel(texture, 1, 0.7 * u + shift_v, 0.7 * v + shift_u)
            cover = np.float32(min(max((1.0 - q) * 0.5 * sharp + 0.5, 0.0), 1.0))
            if cover <= 0.0:
                continue
            dye = dark * (1.0 - pale * (1.0 - min(max(q, 0.0), 1.0))) + coarse * 0.55 * dark * grain
            if (u - spot_u) ** 2 + (v - spot_v) ** 2 < spot:
                dye += 0.5
            planes[0, py, px] += cover * (np.float32(max(dye, 0.05)) - np.float32(0.8) * planes[0, py, px])
            planes[1, py, px] *= np.float32(1.0) - np.float32(0.55) * cover


@njit(cache=True)
def scatter(
    planes: Planes,
    fields: Fields,
    origin: tuple[int, int, int, int, float],
    key: Key,
    texture: NDArray[np.uint8],
    size: float,
) -> None:
    """Paint all nuclei that reach into a block, always in the same order.

    Args:
        planes: 4 H W; nuclei are painted into the first two.
        fields: Layout around the block, at least `REACH` wider on every side.
        origin: Left and top in pixels, first column and row of the fields in grid points, pixel size in um.
        key: Layout key of the slide.
        texture: Patterns from `textures`.
        size: Scale factor of nuclei.
    """
    left, top, column0, row0, mpp = origin
    point = np.empty(FIELDS, np.float32)
    body = np.empty(7)
    for code in range(4):
        spacing = SPACING[code] * size
        i0, i1 = int((left * mpp - REACH) // spacing), int(((left + planes.shape[2]) * mpp + REACH) // spacing)
        j0, j1 = int((top * mpp - REACH) // spacing), int(((top + planes.shape[1]) * mpp + REACH) // spacing)
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                bits = scramble(key ^ (0x80 + code), i, j)
                x = (i + 0.5 + 0.75 * (part(bits, 0) - 0.5)) * spacing
                y = (j + 0.5 + 0.75 * (part(bits, 1) - 0.5)) * spacing
                gx, gy = x / STEP - column0, y / STEP - row0
                look(fields, gx, gy, point)
                more = scramble(key ^ (0x90 + code), i, j)
                if tissue_at(point, 0.0) != code or not choose(code, point, bits, more, body):
                    continue
                body[0] *= size
                body[1] *= size
                along = turn(code, point, fields, (gx, gy), part(bits, 3))
                stamp(planes, body, (x / mpp - left, y / mpp - top), along, mpp, texture, more)


@njit(cache=True)
def turn(
    code: int, point: NDArray[np.float32], fields: Fields, position: tuple[float, float], chance: float
) -> tuple[float, float]:
    """Return the direction of the long side: towards the lumen in glands, along fibres in stroma, else random."""
    if code == TUMOR and point[LUMEN] > -900.0:
        return slope(fields, position[0], position[1], NEST)
    if code == STROMA:
        dx, dy = slope(fields, position[0], position[1], FIBRE)
        return -dy, dx
    return np.cos(6.283 * chance), np.sin(6.283 * chance)
