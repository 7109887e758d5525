"""Segment a whole slide: read, predict and blend its tiles, write the class map, and resume after a kill."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import QaclimsError
from qaclims_path.files.digest import FULL, digest_of
from qaclims_path.files.progress import track
from qaclims_path.slides.maps.label_tiff import Label, write_map
from qaclims_path.slides.maps.parts import BandParts, Layer
from qaclims_path.slides.maps.stitch import BAND, Blend, Canvas, Predict, canvas_of, predict_tiles, stitch
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid


@dataclass(frozen=True)
class SlideMap:
    """The written map of a slide.

    Attributes:
        classes: Pyramidal OME-TIFF of class codes.
        confidence: OME-TIFF of the same size with the probability of the best class times 255, or None.
        width: Width of the map in pixels.
        height: Height of the map in pixels.
        mpp: Pixel size of the map in micrometres.
        scale: Level 0 pixels per pixel of the map, (x, y).
        counts: 256, number of pixels of each code.
    """

    classes: Path
    confidence: Path | None
    width: int
    height: int
    mpp: float
    scale: tuple[float, float]
    counts: NDArray[np.int64]


def segment_slide(
    slide: Slide,
    grid: TileGrid,
    predict: Predict,
    blend: Blend,
    stem: Path,
    *,
    labels: Sequence[Label] = (),
    confidence: bool = False,
    identity: str = "",
    notice: str = "",
) -> SlideMap:
    """Write `<stem>_classes.ome.tiff` and, on request, `<stem>_confidence.ome.tiff`.

    Finished bands are kept in the hidden folder `.<stem>.part` beside the results. A resumed run continues after them
    and writes the same bytes as an uninterrupted one.

    Args:
        slide: An open slide.
        grid: Tiles of the slide, in row order.
        predict: Returns class probabilities (N C size size) of N tiles (N size size 3, uint8).
        blend: Options of blending tiles into a map.
        stem: Folder and first part of the file names of the results.
        labels: Names and colours of the codes.
        confidence: Whether to write the confidence too.
        identity: Identifies the predictor, such as a hash of its weights; bands of another predictor are deleted.
        notice: Description inside the files, for their readers; may be empty.

    Examples:
        >>> with open_slide(path) as slide:  # doctest: +SKIP
        ...     grid = make_grid(slide.info, mpp=0.5, size=512, overlap=0.25, pad=True)
        ...     segment_slide(slide, grid, model, Blend(classes=4), Path("out/one"))
    """
    canvas = canvas_of(slide.info.width, slide.info.height, slide.mpp, grid)
    layers: tuple[Layer, ...] = ("codes", "confidence") if confidence else ("codes",)
    parts = BandParts(stem.with_name(f".{stem.name}.part"), _plan(canvas, blend, identity), layers)
    row = min(parts.done * BAND, canvas.height)
    tiles = _tiles_from(first_tile_below(canvas, row, blend.batch), slide, grid, f"segmenting {stem.name}")
    for band in stitch(predict_tiles(tiles, predict, canvas, blend), canvas, blend, row):
        parts.add(band)
    return _assemble(parts, layers, stem, canvas, labels, notice)


def first_tile_below(canvas: Canvas, row: int, batch: int) -> int:
    """Index of the first tile to predict for the map from `row` on, rounded down to the start of its batch."""
    reaching = np.flatnonzero(canvas.top + canvas.size > row)
    return int(reaching[0]) // batch * batch if len(reaching) and row < canvas.height else len(canvas.top)


def _plan(canvas: Canvas, blend: Blend, identity: str) -> dict[str, object]:
    positions = digest_of(canvas.left.tobytes(), canvas.top.tobytes(), digits=FULL)
    sizes = [canvas.width, canvas.height, canvas.size, canvas.mpp, *canvas.scale]
    return {"identity": identity, "tiles": positions, "canvas": sizes, "blend": asdict(blend), "band": BAND}


def _tiles_from(start: int, slide: Slide, grid: TileGrid, message: str) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the tiles from number `start` on with their numbers, and show the progress."""
    remaining = replace(grid, x=grid.x[start:], y=grid.y[start:], tissue=grid.tissue[start:])
    tiles = ((start + i, tile) for i, tile in iter_tiles(slide, remaining))
    return track(tiles, message, total=len(remaining))


def _assemble(
    parts: BandParts, layers: Sequence[Layer], stem: Path, canvas: Canvas, labels: Sequence[Label], notice: str
) -> SlideMap:
    """Write the layers from their finished bands, then delete the bands."""
    paths = {layer: _write_layer(parts, layer, stem, canvas, labels, notice) for layer in layers}
    counts = parts.counts()
    parts.remove()
    size = canvas.width, canvas.height
    return SlideMap(paths["codes"], paths.get("confidence"), *size, canvas.mpp, canvas.scale, counts)


def _write_layer(
    parts: BandParts, layer: Layer, stem: Path, canvas: Canvas, labels: Sequence[Label], notice: str
) -> Path:
    """Write a layer as TIFF among the parts, then move it to its folder, so that a kill leaves no unfinished file."""
    path = stem.with_name(f"{stem.name}_{'classes' if layer == 'codes' else layer}.ome.tiff")
    unfinished = parts.folder / path.name
    size = canvas.width, canvas.height
    palette = labels if layer == "codes" else ()
    try:
        rows = partial(parts.rows, layer)
        write_map(unfinished, size, canvas.mpp, rows, labels=palette, title=stem.name, notice=notice)
        unfinished.replace(path)
    except OSError as error:
        raise QaclimsError(
            f"{path} cannot be written: {error.strerror or error}. Free disk space or choose another folder, and run "
            f"again; finished bands are kept in {parts.folder}."
        ) from error
    return path
