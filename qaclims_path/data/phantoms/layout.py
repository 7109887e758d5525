"""Layout of the tissues: smooth fields over the slide, computed on a grid of `STEP` micrometres.

A slide is a patchwork of zones (solid nests, glands, lymphocytes, necrosis, fat, plain stroma). Every block of three by
three zones has each kind once, so a slide of a few square millimetres shows every class. Lengths are micrometres.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.data.phantoms.noise import Key, cell, part, scramble, smooth

TUMOR, STROMA, LYMPHOCYTE, NECROSIS, BACKGROUND = range(5)
STEP = 4.0  # um between points of the layout

# The fields. Signed ones are depths in um: positive inside, negative outside.
TISSUE, NEST, LUMEN, LYMPH, DEAD, FAT, FOLD, FIBRE, KIND, BLUE, PINK = range(11)
FIELDS = 11
NO_LUMEN = -1000.0  # a solid nest has no lumen anywhere
NOWHERE = -1000.0  # depth of a tissue that a slide does not have
MARGIN = 14.0  # um by which fat that stands for stroma reaches into other tissue, so that no rim of stroma is left

SOLID, CORDS, GLANDS, PLAIN, AGGREGATE, FOLLICLES, RIMMED, NECROTIC, ADIPOSE = range(9)


@njit(cache=True)
def zone_of(key: Key, i: int, j: int) -> int:
    """Return the kind of a zone; each block of three by three zones holds the nine kinds in its own order."""
    bits = scramble(key ^ 0x51, i // 3, j // 3)
    factor = np.array([1, 2, 4, 5, 7, 8])[int(part(bits, 0) * 6)]
    return int(factor * ((i % 3) * 3 + j % 3) + part(bits, 1) * 9) % 9


@njit(cache=True)
def zone_without(kind: int, without: int) -> int:
    """Return the kind of zone that takes the place of one with a tissue that the slide does not have (`without`)."""
    if without & (1 << TUMOR):
        kind = NECROTIC if kind == RIMMED else PLAIN if kind in (SOLID, CORDS, GLANDS) else kind
    if without & (1 << LYMPHOCYTE) and kind in (AGGREGATE, FOLLICLES):
        kind = PLAIN
    if without & (1 << NECROSIS):
        kind = SOLID if kind == RIMMED else PLAIN if kind == NECROTIC else kind
    return kind


@njit(cache=True)
def outline(key: Key, x: float, y: float, width: float, height: float) -> float:
    """Return the depth inside the section, measured from its edge or from the edge of a tear."""
    u, v = abs(2.0 * x / width - 1.0), abs(2.0 * y / height - 1.0)
    half = 0.5 * min(width, height)
    round_edge = (0.90 - np.sqrt(np.sqrt(u**4 + v**4))) * half
    ragged = 0.09 * half * smooth(key ^ 0x11, x / (0.45 * half), y / (0.45 * half)) + 9.0 * smooth(
        key ^ 0x12, x / 60.0, y / 60.0
    )
    torn = smooth(key ^ 0x13, x / 700.0, y / 700.0)
    if torn < 0.5:
        return float(round_edge + ragged)
    # tears are oblique, to hide the lattice of the noise
    along, across = (
        0.8 * x + 0.6 * y + 2.0 * ragged,
        0.8 * y - 0.6 * x + 60.0 * smooth(key ^ 0x15, x / 130.0, y / 130.0),
    )
    tear = abs(smooth(key ^ 0x14, along / 420.0, across / 260.0)) * 130.0 + 16.0 * (0.5 - torn)
    return float(min(round_edge + ragged, tear))


@njit(cache=True)
def nests(point: NDArray[np.float32], key: Key, kind: int, bits: int, position: tuple[float, float, float]) -> None:
    """Set the fields of tumour nests, cords or glands in one zone; `position` is x, y and the depth in the zone."""
    x, y, inside = position
    scale = 100.0 + 45.0 * part(bits, 2) if kind == GLANDS else 150.0 + 110.0 * part(bits, 2)
    stretch = 2.2 if kind == CORDS else 1.0
    angle = 6.283 * part(bits, 3)
    u = (x * np.cos(angle) + y * np.sin(angle)) / stretch
    v = y * np.cos(angle) - x * np.sin(angle)
    i, j, border = cell(key ^ 0x31, u / scale, v / scale, 0.8)
    own = scramble(key ^ 0x32, i, j)
    gap = 9.0 + 9.0 * part(own, 0)
    point[NEST] = min(border * scale - gap, inside - 14.0)
    point[KIND] = 0.5 * point[KIND] + 0.5 * part(own, 1)
    if kind == GLANDS and part(own, 2) < 0.85:
        point[LUMEN] = point[NEST] - 15.0 - 8.0 * part(own, 3)
    elif kind == SOLID and scale > 215.0 and part(own, 2) < 0.4:
        point[DEAD] = point[NEST] - 45.0  # the centre of a large nest is necrotic


@njit(cache=True)
def bend(key: Key, x: float, y: float, zone: float) -> float:
    """Return the displacement of the patchwork at a point along one axis."""
    wide = smooth(key ^ 0x100, x / (0.6 * zone), y / (0.6 * zone))
    middle = smooth(key ^ 0x200, x / 110.0, y / 110.0)
    return 0.24 * zone * wide + 26.0 * middle + 6.0 * smooth(key ^ 0x300, x / 40.0, y / 40.0)


@njit(cache=True)
def tissues(point: NDArray[np.float32], key: Key, x: float, y: float, zone: float, without: int) -> None:
    """Set the depth inside every tissue at one point; `zone` is the spacing of zones."""
    wx = x + bend(key ^ 0x21, x, y, zone)
    wy = y + bend(key ^ 0x22, x, y, zone)
    i, j, border = cell(key ^ 0x25, wx / zone, wy / zone, 0.7)
    # bands of stroma between the zones vary in width
    inside = border * zone - 50.0 * max(0.0, smooth(key ^ 0x29, x / 210.0, y / 210.0))
    bits = scramble(key ^ 0x26, i, j)
    kind = zone_without(zone_of(key, i, j), without)
    point[KIND] = part(bits, 0)
    point[NEST] = point[LYMPH] = point[DEAD] = point[FAT] = -inside - 30.0
    point[LUMEN] = NO_LUMEN
    if kind in (SOLID, CORDS, GLANDS):
        nests(point, key, kind, bits, (wx, wy, inside))
    elif kind == AGGREGATE:
        point[LYMPH] = inside - 12.0
    elif kind == FOLLICLES:
        a, b, edge = cell(key ^ 0x27, wx / 150.0, wy / 150.0, 0.8)
        point[LYMPH] = min(edge * 150.0 - 12.0, inside - 12.0)
        point[KIND] = part(scramble(key ^ 0x28, a, b), 0)
    elif kind == RIMMED:
        point[NEST], point[DEAD] = inside - 12.0, inside - 48.0
    elif kind == NECROTIC:
        point[DEAD] = inside - 12.0
    elif kind == ADIPOSE:
        point[FAT] = inside - 10.0
    if without & (1 << NECROSIS):
        point[DEAD] = NOWHERE
    if without & (1 << STROMA):
        point[FAT] = max(point[FAT], MARGIN - max(point[NEST], point[LYMPH], point[DEAD]))


@njit(cache=True)
def fold(key: Key, x: float, y: float, width: float, height: float) -> float:
    """Return the depth inside the nearest of three folds, which are wavy dark streaks of limited length."""
    deepest = -100.0
    for n in range(3):
        bits, more = scramble(key ^ 0x41, n, 0), scramble(key ^ 0x41, n, 1)
        angle = 6.283 * part(bits, 0)
        dx, dy = x - width * (0.2 + 0.6 * part(bits, 1)), y - height * (0.2 + 0.6 * part(bits, 2))
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = dy * np.cos(angle) - dx * np.sin(angle) + 30.0 * smooth(key ^ 0x42, along / 180.0, float(n))
        length = 0.12 * (width + height) * (0.5 + part(more, 0))
        half = 9.0 + 5.0 * part(bits, 3) + 3.0 * smooth(key ^ 0x43, along / 40.0, float(n))
        deepest = max(deepest, min(half * (1.0 - (along / length) ** 2), half) - abs(across))
    return deepest


@njit(cache=True)
def tilt_of(key: Key) -> float:
    """Return the main direction of the fibres of a slide, an angle in radians."""
    return float(6.283 * part(scramble(key ^ 0x61, 0, 0), 0))


@njit(cache=True)
def lay_out(
    key: Key, corner: tuple[int, int], shape: tuple[int, int], size: tuple[float, float], without: int = 0
) -> NDArray[np.float32]:
    """Compute all fields on a rectangle of the grid.

    Args:
        key: Layout key of the slide.
        corner: First column and row of the rectangle, in grid points.
        shape: Rows and columns of the rectangle.
        size: Width and height of the slide in um.
        without: Bit 1 << code is set for each class that the slide does not have.

    Returns:
        rows, columns, `FIELDS`.
    """
    fields = np.empty((shape[0], shape[1], FIELDS), np.float32)
    zone = min(max(min(size[0], size[1]) / 3.6, 200.0), 620.0)
    tilt = tilt_of(key)
    for row in range(shape[0]):
        for column in range(shape[1]):
            x, y = (corner[0] + column) * STEP, (corner[1] + row) * STEP
            point = fields[row, column]
            point[TISSUE] = outline(key, x, y, size[0], size[1])
            tissues(point, key, x, y, zone, without)
            point[FOLD] = fold(key, x, y, size[0], size[1])
            # fibres follow lines of equal FIBRE: around nests, and in waves elsewhere
            wave = 55.0 * smooth(key ^ 0x62, x / 190.0, y / 190.0) + 9.0 * smooth(key ^ 0x63, x / 45.0, y / 45.0)
            around = 0.35 * max(-60.0, min(max(point[NEST], point[LYMPH]), 0.0))
            point[FIBRE] = y * np.cos(tilt) - x * np.sin(tilt) + wave + around
            point[BLUE] = smooth(key ^ 0x64, x / 230.0, y / 230.0) + 0.4 * smooth(key ^ 0x65, x / 60.0, y / 60.0)
            point[PINK] = smooth(key ^ 0x66, x / 260.0, y / 260.0) + 0.4 * smooth(key ^ 0x67, x / 70.0, y / 70.0)
    return fields


@njit(cache=True, inline="always")
def tissue_at(point, wobble):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - rows of several layouts
    """Return the class code at a point with these fields; `wobble` (um) roughens the borders."""
    if point[TISSUE] < wobble or point[FAT] > wobble:
        return BACKGROUND
    if point[DEAD] > wobble:
        return NECROSIS
    if point[NEST] > wobble:
        return BACKGROUND if point[LUMEN] > wobble else TUMOR
    return LYMPHOCYTE if point[LYMPH] > wobble else STROMA
