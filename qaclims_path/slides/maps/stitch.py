"""From rows of predicted tiles to bands of a class map, with the memory of one row of tiles."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.blending import TileBand, Window, window_weights
from qaclims_path.errors import PredictionProblem, UsageError
from qaclims_path.types import TileGrid

BAND = 512  # rows that are finished together; also the side of a tile of the written maps
MAX_SUMS = 16 * 2**30  # bytes
Predict = Callable[[NDArray[np.uint8]], Any]  # N H W 3 -> N C H W: an array, or a tensor on any device
Numbered = Iterator[tuple[int, NDArray[np.float32]]]


@dataclass(frozen=True)
class Canvas:
    """The class map of a slide: where each tile of a grid lies in it. All numbers are its own pixels.

    Attributes:
        width: Covers the slide.
        height: Covers the slide.
        left: N, first column of each tile.
        top: N, first row of each tile, ascending.
        size: Width and height of a tile.
        mpp: Pixel size in micrometres.
        scale: Level 0 pixels per pixel, (x, y).
    """

    width: int
    height: int
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    size: int
    mpp: float
    scale: tuple[float, float]


@dataclass(frozen=True)
class Blend:
    """How tiles become a map.

    Attributes:
        classes: Number of classes that the predictions hold.
        outside: Code of pixels that no tile covers.
        window: Weights inside a tile.
        batch: Tiles predicted together.
    """

    classes: int
    outside: int = 255
    window: Window = "gaussian"
    batch: int = 32

    def __post_init__(self) -> None:
        if not (1 <= self.classes <= 255 and 0 <= self.outside <= 255 and self.batch >= 1):
            raise UsageError(
                f"A map of {self.classes} classes with code {self.outside} outside and batches of {self.batch} cannot "
                "be made: there are 1 to 255 classes, codes 0 to 255 and batches of at least 1."
            )


@dataclass(frozen=True)
class Band:
    """Finished rows of a map: class codes and confidence (both rows W), the first row at `top`."""

    top: int
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


def canvas_of(width0: int, height0: int, mpp0: tuple[float, float], grid: TileGrid) -> Canvas:
    """Lay a grid on a map with the grid's pixel size.

    Args:
        width0: Of the slide, in level 0 pixels.
        height0: Of the slide, in level 0 pixels.
        mpp0: Pixel size of level 0 in micrometres (x, y).
        grid: The tiles.
    """
    scale = grid.mpp / mpp0[0], grid.mpp / mpp0[1]
    width, left = _along(width0, scale[0], grid.x, grid.width0, grid.size)
    height, top = _along(height0, scale[1], grid.y, grid.height0, grid.size)
    if (np.diff(top) < 0).any():
        raise UsageError("The tiles of the grid are not sorted by row, from top to bottom; sort them before stitching.")
    return Canvas(width, height, left, top, grid.size, grid.mpp, scale)


def _along(
    length0: int, scale: float, starts0: NDArray[np.int64], span0: int, size: int
) -> tuple[int, NDArray[np.int64]]:
    """Length of the map and starts of the tiles along one side."""
    length = max(1, round(length0 / scale))
    starts = np.rint(starts0 / scale).astype(np.int64)
    # a tile at the far edge stays there, whichever way the two numbers were rounded
    at_edge = (starts0 + span0 >= length0) & (np.abs(starts + size - length) == 1)
    places, which = np.unique(np.where(at_edge, length - size, starts), return_inverse=True)
    for i in range(1, len(places)):  # neighbours that rounding has moved one pixel apart
        places[i] -= places[i] - places[i - 1] == size + 1
    return length, places[which].astype(np.int64)


def predicted(
    tiles: Iterable[tuple[int, NDArray[np.uint8]]], predict: Predict, canvas: Canvas, blend: Blend
) -> Numbered:
    """Predict tiles in batches; yields each one's number and its probabilities (C size size).

    A batch ends where the tile's number is a multiple of its size, so that work taken up again sees the same batches.
    """
    numbers: list[int] = []
    pixels: list[NDArray[np.uint8]] = []
    for number, tile in tiles:
        numbers.append(number)
        pixels.append(tile)
        if (number + 1) % blend.batch == 0:
            yield from zip(numbers, _checked(predict(np.stack(pixels)), len(pixels), canvas, blend), strict=True)
            numbers, pixels = [], []
    if pixels:
        yield from zip(numbers, _checked(predict(np.stack(pixels)), len(pixels), canvas, blend), strict=True)


def _checked(scores: Any, count: int, canvas: Canvas, blend: Blend) -> NDArray[np.float32]:  # noqa: ANN401
    """The predictor's answer as float32, when it has the shape that was asked for."""
    if hasattr(scores, "detach"):  # a tensor, without loading torch to find out
        scores = scores.detach().float().cpu().numpy()
    array = np.ascontiguousarray(scores, dtype=np.float32)
    wanted = (count, blend.classes, canvas.size, canvas.size)
    if array.shape != wanted:
        raise PredictionProblem(
            f"The predictor gave an array of shape {array.shape} for {count} tiles of {canvas.size} pixels and "
            f"{blend.classes} classes; it has to be {wanted} (tiles, classes, height, width)."
        )
    return array


def stitch(tiles: Numbered, canvas: Canvas, blend: Blend, first_row: int = 0) -> Iterator[Band]:
    """Blend predicted tiles into bands of `BAND` rows, from `first_row` (a multiple of it) to the end of the map.

    Args:
        tiles: Number in the canvas and probabilities (C size size), rows of tiles from top to bottom.
        canvas: Where tiles lie.
        blend: How they are weighted.
        first_row: Where to begin; tiles that reach into it from above have to be given too.
    """
    needed = canvas.size * blend.classes * canvas.width * 4
    if needed > MAX_SUMS:
        raise UsageError(
            f"A row of {canvas.size} pixel tiles with {blend.classes} classes over a slide {canvas.width} pixels wide "
            f"takes {needed / 2**30:.0f} GiB of memory. Choose smaller tiles or a larger pixel size."
        )
    sums = TileBand(canvas.width, blend.classes, window_weights(blend.window, canvas.size), first_row)
    parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for part in _finished(tiles, sums, canvas, blend):
        parts.append(part)
        if sums.top % BAND == 0 or sums.top == canvas.height:
            codes, confidence = (np.concatenate(kind) for kind in zip(*parts, strict=True))
            parts = []
            yield Band(sums.top - len(codes), codes, confidence)


def _finished(
    tiles: Numbered, sums: TileBand, canvas: Canvas, blend: Blend
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Rows that no later tile reaches, a few at a time, none of them across the border of two bands."""

    def until(row: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        row = min(row, canvas.height)
        while sums.top < row:
            yield sums.take(min(row - sums.top, canvas.size, BAND - sums.top % BAND), blend.outside)

    for number, probabilities in tiles:
        left, top = int(canvas.left[number]), int(canvas.top[number])
        yield from until(top)
        if top >= canvas.height:  # the sliver of slide under this tile was rounded away
            continue
        if not sums.add(probabilities, left, top):
            raise PredictionProblem(
                f"The predictor's answer for tile {number} holds NaN or numbers that do not add up to one over the "
                "classes. Give probabilities: apply softmax to the scores first."
            )
    yield from until(canvas.height)
