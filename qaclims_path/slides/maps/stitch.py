"""Predict tiles and join them into bands of a class map, with the memory of one row of tiles.

Probabilities of overlapping tiles are blended. Without overlap the labels are decided where the tiles are predicted, so
that two bytes per pixel leave a GPU instead of probabilities of all classes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.blending import LabelBand, TileBand, Window, window_weights
from qaclims_path.errors import PredictionProblem, UsageError
from qaclims_path.types import TileGrid

if TYPE_CHECKING:
    from torch import Tensor

BAND = 512  # rows per band; also the side of a tile of the written maps
MAX_SUMS = 16 * 2**30  # bytes
Predict = Callable[[NDArray[np.uint8]], Any]  # N H W 3 -> N C H W: an array, or a tensor on any device
# index of a tile, and its probabilities (C size size, float32) or, without overlap, labels and confidence (2 size size)
Predicted = Iterator[tuple[int, NDArray[Any]]]


@dataclass(frozen=True)
class Canvas:
    """Size of the class map of a slide, and the positions of the tiles in it, in pixels of the map.

    Attributes:
        width: Width of the map, which covers the whole slide.
        height: Height of the map.
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

    @cached_property
    def overlaps(self) -> bool:
        """Whether tiles share more than one line of pixels, which rounding alone can cause."""
        order = np.lexsort((self.left, self.top))
        across, down = np.diff(self.left[order]), np.diff(self.top[order])
        return bool((np.where(down == 0, across, down) < self.size - 1).any())


@dataclass(frozen=True)
class Blend:
    """Options of blending predicted tiles into a map.

    Attributes:
        classes: Number of predicted classes.
        outside: Code of pixels outside all tiles.
        window: Name of the weights inside a tile.
        batch: Tiles per prediction.
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
    """Finished rows of a map: class codes and confidence (both rows W); `top` is the first row."""

    top: int
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


def canvas_of(width0: int, height0: int, mpp0: tuple[float, float], grid: TileGrid) -> Canvas:
    """Convert a grid to positions in a map with the grid's pixel size.

    Args:
        width0: Width of the slide in level 0 pixels.
        height0: Height of the slide in level 0 pixels.
        mpp0: Pixel size of level 0 in micrometres (x, y).
        grid: The tiles, in row order.
    """
    scale = grid.mpp / mpp0[0], grid.mpp / mpp0[1]
    width, left = _axis(width0, scale[0], grid.x, grid.width0, grid.size)
    height, top = _axis(height0, scale[1], grid.y, grid.height0, grid.size)
    if (np.diff(top) < 0).any():
        raise UsageError("The tiles of the grid are not sorted by row, from top to bottom; sort them before stitching.")
    return Canvas(width, height, left, top, grid.size, grid.mpp, scale)


def _axis(
    length0: int, scale: float, starts0: NDArray[np.int64], span0: int, size: int
) -> tuple[int, NDArray[np.int64]]:
    """Return the length of the map and starts of the tiles along one axis."""
    length = max(1, round(length0 / scale))
    starts = np.rint(starts0 / scale).astype(np.int64)
    # rounding must not move a tile off the far edge
    at_edge = (starts0 + span0 >= length0) & (np.abs(starts + size - length) == 1)
    distinct, tile_of = np.unique(np.where(at_edge, length - size, starts), return_inverse=True)
    for i in range(1, len(distinct)):  # rounding must not open a gap of one pixel between neighbours
        distinct[i] -= distinct[i] - distinct[i - 1] == size + 1
    return length, distinct[tile_of].astype(np.int64)


def predict_tiles(
    tiles: Iterable[tuple[int, NDArray[np.uint8]]], predict: Predict, canvas: Canvas, blend: Blend
) -> Predicted:
    """Predict tiles in batches, and yield index and result of each tile, of which use each before the next.

    Probabilities of a GPU travel in half precision. All travel while it predicts the next batch.
    """
    from qaclims_path.compute.labels import labels_and_confidence
    from qaclims_path.compute.transfer import fetched

    predicted = (
        (indices, _checked(predict(pixels), len(pixels), canvas, blend))
        for indices, pixels in _in_batches(tiles, blend.batch)
    )
    sent = _for_blending if canvas.overlaps else labels_and_confidence
    for indices, found in fetched((indices, sent(probabilities)) for indices, probabilities in predicted):
        values = found.float() if canvas.overlaps else found
        yield from zip(indices, values.numpy(), strict=True)


def _in_batches(
    tiles: Iterable[tuple[int, NDArray[np.uint8]]], size: int
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Stack tiles; batches end at multiples of their size, so that a resumed run forms the same batches."""
    for _, batch in groupby(tiles, lambda tile: tile[0] // size):
        indices, pixels = zip(*batch, strict=True)
        yield list(indices), np.stack(pixels)


def _checked(scores: Any, count: int, canvas: Canvas, blend: Blend) -> "Tensor":  # noqa: ANN401 - see `Predict`
    """Convert a prediction to a tensor; refuse a wrong shape."""
    import torch

    tensor = torch.as_tensor(scores).detach()
    expected = (count, blend.classes, canvas.size, canvas.size)
    if tensor.shape != expected:
        raise PredictionProblem(
            f"The predictor returned an array of shape {tuple(tensor.shape)} for {count} tiles of {canvas.size} pixels "
            f"and {blend.classes} classes; it has to be {expected} (tiles, classes, height, width)."
        )
    return tensor


def _for_blending(probabilities: "Tensor") -> "Tensor":
    """Convert probabilities to float32, but half precision on a GPU."""
    import torch

    dtype = torch.float16 if probabilities.device.type == "cuda" else torch.float32
    return probabilities.to(dtype, memory_format=torch.contiguous_format)


def stitch(tiles: Predicted, canvas: Canvas, blend: Blend, first_row: int = 0) -> Iterator[Band]:
    """Join predicted tiles to bands of `BAND` rows, from `first_row` to the end of the map.

    Args:
        tiles: Tiles from `predict_tiles`, rows of tiles from top to bottom.
        canvas: Positions of the tiles.
        blend: Weights of the tiles.
        first_row: First row of the result, a multiple of `BAND`; `tiles` must include all that reach below it.
    """
    needed = canvas.size * canvas.width * (blend.classes * 4 if canvas.overlaps else 3)
    if needed > MAX_SUMS:
        raise UsageError(
            f"A row of {canvas.size} pixel tiles with {blend.classes} classes over a slide {canvas.width} pixels wide "
            f"needs {needed / 2**30:.0f} GiB of memory. Choose smaller tiles or a larger pixel size."
        )
    weights = window_weights(blend.window, canvas.size)
    blended = TileBand(canvas.width, blend.classes, weights, first_row) if canvas.overlaps else None
    band = blended or LabelBand(canvas.width, canvas.size, first_row)
    parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for rows in _finished_rows(tiles, band, canvas, blend):
        parts.append(rows)
        if band.top % BAND == 0 or band.top == canvas.height:
            codes, confidence = (np.concatenate(layer) for layer in zip(*parts, strict=True))
            parts = []
            yield Band(band.top - len(codes), codes, confidence)


def _finished_rows(
    tiles: Predicted, band: TileBand | LabelBand, canvas: Canvas, blend: Blend
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield codes and confidence of rows that no later tile reaches, a few rows at a time, never across two bands."""

    def take_until(row: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        row = min(row, canvas.height)
        while band.top < row:
            yield band.take(min(row - band.top, canvas.size, BAND - band.top % BAND), blend.outside)

    for index, predicted in tiles:
        left, top = int(canvas.left[index]), int(canvas.top[index])
        yield from take_until(top)
        if top >= canvas.height:  # rounding left no row of the map under this tile
            continue
        if not band.add(predicted, left, top):
            raise PredictionProblem(
                f"The prediction of tile {index} holds NaN or numbers that do not add up to one over the classes. "
                "Give probabilities: apply softmax to the scores first."
            )
    yield from take_until(canvas.height)
