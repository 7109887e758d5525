"""Where a tile lies in a pyramid: which level to read, which pixels of it, and how they become the tile.

All positions are continuous: a pixel covers one unit, and pixel i has its centre at i + 0.5. Steps are level 0 pixels
per pixel of the tile, as (x, y), because pixels need not be square.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.types import Level

SAME_SIZE = 0.01  # pixel sizes that differ by up to 1 % count as equal: scanners measure theirs no better
EXACT = 1e-6
MOST_PIXELS = 2**26  # resampled in one piece: 200 MB

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """The pixels of a level that a tile is made of.

    Attributes:
        level: Index of the level.
        x: Left edge of what is read, in pixels of the level.
        y: Top edge of what is read, in pixels of the level.
        width: Of what is read, in pixels of the level.
        height: Of what is read, in pixels of the level.
        box: Left, top, right, bottom of the tile inside what is read, or None where it is read as it is.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    box: tuple[float, float, float, float] | None = None

    @property
    def is_huge(self) -> bool:
        """Whether it is better resampled in parts: a thumbnail of a slide without a pyramid."""
        return self.box is not None and self.width * self.height > MOST_PIXELS


def best_level(levels: tuple[Level, ...], step: tuple[float, float]) -> int:
    """The coarsest level that is still as fine as asked; level 0 where none is.

    Example:
        >>> best_level((Level(400, 400, 1.0), Level(200, 200, 2.0), Level(100, 100, 4.0)), (3.0, 3.0))
        1
    """
    fine = [i for i, level in enumerate(levels) if level.downsample <= min(step) * (1 + SAME_SIZE)]
    return max(fine, key=lambda i: levels[i].downsample, default=0)


def locate(levels: tuple[Level, ...], x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]) -> Place:
    """Find the pixels to read for a tile.

    Args:
        levels: The pyramid.
        x0: Left edge of the tile in level 0 pixels.
        y0: Top edge of the tile in level 0 pixels.
        size: Width and height of the tile in pixels as it is wanted.
        step: Level 0 pixels per pixel of the tile, (x, y).
    """
    number = best_level(levels, step)
    downsample = levels[number].downsample
    left, top = x0 / downsample, y0 / downsample
    across, down = step[0] / downsample, step[1] / downsample
    if abs(across - 1) <= SAME_SIZE and abs(down - 1) <= SAME_SIZE:
        return Place(number, nearest(left), nearest(top), size[0], size[1])
    # whole factors at whole places need nothing of what lies around them; windows do
    margin = 0.0 if all(map(_whole, (left, top, across, down))) else max(across, down, 1.0) + 1
    x, width = _reach(left, size[0] * across, margin)
    y, height = _reach(top, size[1] * down, margin)
    box = (left - x, top - y, left - x + size[0] * across, top - y + size[1] * down)
    return Place(number, x, y, width, height, box)


def extent(
    levels: tuple[Level, ...], x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]
) -> tuple[float, float, float, float]:
    """What a tile shows of the slide in level 0 pixels: left, top, width, height; arguments as above.

    A tile that is read as it is shows a little more or less than was asked for, where sizes only count as equal.

    Example:
        >>> extent((Level(4000, 4000, 1.0),), 10, 20, (1000, 1000), (0.996, 0.996))
        (10.0, 20.0, 1000.0, 1000.0)
    """
    place = locate(levels, x0, y0, size, step)
    if place.box is not None:
        return x0, y0, size[0] * step[0], size[1] * step[1]
    downsample = levels[place.level].downsample
    return place.x * downsample, place.y * downsample, place.width * downsample, place.height * downsample


def resample(pixels: Pixels, box: tuple[float, float, float, float], size: tuple[int, int]) -> Pixels:
    """Shrink (or enlarge) a box of pixels to width and height.

    Whole factors at whole positions are the exact mean of the area, as pyramids are made. For all others that mean
    jumps between neighbouring factors and shows steps, so a Hamming window twice as wide is used: as sharp, without
    them. The pixels around the box count, so that tiles that touch fit together.
    """
    left, top, right, bottom = box
    factor = ((right - left) / size[0], (bottom - top) / size[1])
    picture = Image.fromarray(pixels)
    if all(_whole(value) for value in (left, top, *factor)) and min(factor) >= 1 - EXACT:
        edges = (round(left), round(top), round(right), round(bottom))
        return np.array(picture.reduce((round(factor[0]), round(factor[1])), box=edges))
    window = Image.Resampling.HAMMING if max(factor) >= 1 else Image.Resampling.BILINEAR
    return np.array(picture.resize(size, window, box=box))


def clip(level: Level, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a region that lies inside a level, as x, y, width, height; 0 wide or high where there is none."""
    left, top = min(max(x, 0), level.width), min(max(y, 0), level.height)
    right, bottom = min(x + width, level.width), min(y + height, level.height)
    return left, top, max(right - left, 0), max(bottom - top, 0)


def inside(
    read: Callable[[int, int, int, int], Pixels], level: Level, place: Place, background: tuple[int, int, int]
) -> Pixels:
    """Read a place of a level: `read` is asked for what exists, the rest has the background colour."""
    x, y, width, height = part = clip(level, place.x, place.y, place.width, place.height)
    if part == (place.x, place.y, place.width, place.height):
        return read(*part)
    pixels = np.empty((place.height, place.width, 3), np.uint8)
    pixels[:] = background
    if width and height:
        top, left = y - place.y, x - place.x
        pixels[top : top + height, left : left + width] = read(*part)
    return pixels


def on_background(picture: Image.Image, background: tuple[int, int, int]) -> Pixels:
    """Lay an RGBA picture on a colour; what is transparent shows the colour, never black."""
    alpha = picture.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return np.array(picture.convert("RGB"))
    ground = Image.new("RGB", picture.size, background)
    ground.paste(picture, mask=alpha)
    return np.array(ground)


def nearest(value: float) -> int:
    """The nearest whole number, halves upwards, so that equal distances stay equal."""
    return math.floor(value + 0.5)


def _reach(start: float, length: float, margin: float) -> tuple[int, int]:
    """First pixel and number of pixels from `margin` before to `margin` after a length."""
    first = math.floor(start - margin + EXACT)
    return first, math.ceil(start + length + margin - EXACT) - first


def _whole(value: float) -> bool:
    return abs(value - round(value)) < EXACT
