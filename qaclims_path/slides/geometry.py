"""Geometry of slide pyramids: the level to read for a tile, the region of that level, and its resampling.

All positions are continuous: a pixel covers one unit, and pixel i has its centre at i + 0.5. A step is the number of
level 0 pixels per pixel of the tile, as (x, y), because pixels need not be square.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.types import Level

SIZE_TOLERANCE = 0.01  # pixel sizes within 1 % count as equal, because scanners do not measure theirs more precisely
EPSILON = 1e-6
MAX_RESAMPLED_PIXELS = 2**26  # pixels in one call: 200 MB

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LevelRegion:
    """A region of one level, and the tile inside it. All numbers but `level` are pixels of the level.

    Attributes:
        level: Index of the level.
        x: Left edge of the region.
        y: Top edge of the region.
        width: Width of the region.
        height: Height of the region.
        box: Left, top, right, bottom of the tile inside the region; None if the region is the tile, without resampling.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    box: tuple[float, float, float, float] | None = None

    @property
    def is_huge(self) -> bool:
        """Whether the region must be resampled in parts, such as a thumbnail of a slide without a pyramid."""
        return self.box is not None and self.width * self.height > MAX_RESAMPLED_PIXELS


def best_level(levels: tuple[Level, ...], step: tuple[float, float]) -> int:
    """Choose the coarsest level that is at least as fine as the step; level 0 if none is.

    Examples:
        >>> best_level((Level(400, 400, 1.0), Level(200, 200, 2.0), Level(100, 100, 4.0)), (3.0, 3.0))
        1
    """
    fine_enough = [i for i, level in enumerate(levels) if level.downsample <= min(step) * (1 + SIZE_TOLERANCE)]
    return max(fine_enough, key=lambda i: levels[i].downsample, default=0)


def locate(
    levels: tuple[Level, ...], x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]
) -> LevelRegion:
    """Find the region to read for a tile.

    Args:
        levels: The pyramid.
        x0: Left edge of the tile in level 0 pixels.
        y0: Top edge of the tile in level 0 pixels.
        size: Width and height of the tile in its own pixels.
        step: Level 0 pixels per pixel of the tile, (x, y).
    """
    index = best_level(levels, step)
    downsample = levels[index].downsample
    left, top = x0 / downsample, y0 / downsample
    factor_x, factor_y = step[0] / downsample, step[1] / downsample
    if abs(factor_x - 1) <= SIZE_TOLERANCE and abs(factor_y - 1) <= SIZE_TOLERANCE:
        return LevelRegion(index, round_half_up(left), round_half_up(top), size[0], size[1])
    # area means with integer factors at integer positions need no surrounding pixels; filter windows do
    margin = 0.0 if all(map(_is_integer, (left, top, factor_x, factor_y))) else max(factor_x, factor_y, 1.0) + 1
    x, width = _pixel_span(left, size[0] * factor_x, margin)
    y, height = _pixel_span(top, size[1] * factor_y, margin)
    box = (left - x, top - y, left - x + size[0] * factor_x, top - y + size[1] * factor_y)
    return LevelRegion(index, x, y, width, height, box)


def extent(
    levels: tuple[Level, ...], x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the part of the slide that a tile shows, in level 0 pixels: left, top, width, height.

    A tile that is read without resampling shows up to 1 % more or less than asked for. Arguments as for `locate`.

    Examples:
        >>> extent((Level(4000, 4000, 1.0),), 10, 20, (1000, 1000), (0.996, 0.996))
        (10.0, 20.0, 1000.0, 1000.0)
    """
    region = locate(levels, x0, y0, size, step)
    if region.box is not None:
        return x0, y0, size[0] * step[0], size[1] * step[1]
    downsample = levels[region.level].downsample
    return region.x * downsample, region.y * downsample, region.width * downsample, region.height * downsample


def resample(pixels: Pixels, box: tuple[float, float, float, float], size: tuple[int, int]) -> Pixels:
    """Resample a box of pixels to width and height.

    With integer factors at integer positions, an output pixel is the exact mean of its area, as in most pyramids. With
    other factors, area means show steps, so a Hamming window twice as wide is used, which is as sharp. The window
    includes pixels around the box, so that neighbouring tiles fit together.
    """
    left, top, right, bottom = box
    factor = ((right - left) / size[0], (bottom - top) / size[1])
    picture = Image.fromarray(pixels)
    if all(_is_integer(value) for value in (left, top, *factor)) and min(factor) >= 1 - EPSILON:
        edges = (round(left), round(top), round(right), round(bottom))
        return np.array(picture.reduce((round(factor[0]), round(factor[1])), box=edges))
    window = Image.Resampling.HAMMING if max(factor) >= 1 else Image.Resampling.BILINEAR
    return np.array(picture.resize(size, window, box=box))


def clip(level: Level, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the part of a region inside a level as x, y, width, height; width or height is 0 if there is none."""
    left, top = min(max(x, 0), level.width), min(max(y, 0), level.height)
    right, bottom = min(x + width, level.width), min(y + height, level.height)
    return left, top, max(right - left, 0), max(bottom - top, 0)


def read_padded(
    read: Callable[[int, int, int, int], Pixels], level: Level, region: LevelRegion, background: tuple[int, int, int]
) -> Pixels:
    """Read a region with `read`, and fill the part outside the level with the background colour."""
    x, y, width, height = part = clip(level, region.x, region.y, region.width, region.height)
    if part == (region.x, region.y, region.width, region.height):
        return read(*part)
    pixels = np.empty((region.height, region.width, 3), np.uint8)
    pixels[:] = background
    if width and height:
        top, left = y - region.y, x - region.x
        pixels[top : top + height, left : left + width] = read(*part)
    return pixels


def on_background(picture: Image.Image, background: tuple[int, int, int]) -> Pixels:
    """Blend an RGBA picture over a colour, so that transparent pixels do not turn black."""
    alpha = picture.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return np.array(picture.convert("RGB"))
    blended = Image.new("RGB", picture.size, background)
    blended.paste(picture, mask=alpha)
    return np.array(blended)


def round_half_up(value: float) -> int:
    """Round to the nearest integer, halves upwards, so that equal distances stay equal."""
    return math.floor(value + 0.5)


def _pixel_span(start: float, length: float, margin: float) -> tuple[int, int]:
    """First pixel and number of pixels of a span with a margin on both sides."""
    first = math.floor(start - margin + EPSILON)
    return first, math.ceil(start + length + margin - EPSILON) - first


def _is_integer(value: float) -> bool:
    return abs(value - round(value)) < EPSILON
