"""A slide in, its class map out: tiles are read, predicted and blended as they come, and a killed run goes on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import QaclimsError
from qaclims_path.files.digest import FULL, digest_of
from qaclims_path.files.progress import track
from qaclims_path.slides.maps.label_tiff import Label, write_map
from qaclims_path.slides.maps.parts import BandParts, Layer
from qaclims_path.slides.maps.stitch import BAND, Blend, Canvas, Predict, canvas_of, predicted, stitch
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid


@dataclass(frozen=True)
class SlideMap:
    """The written map of a slide.

    Attributes:
        classes: Pyramidal OME-TIFF of class codes.
        confidence: The same geometry, share of the best class in 255ths; None where it was not asked for.
        width: In pixels of the map.
        height: In pixels of the map.
        mpp: Pixel size of the map in micrometres.
        scale: Level 0 pixels per pixel of the map, (x, y).
        counts: 256, pixels of each code.
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
) -> SlideMap:
    """Write `<stem>_classes.ome.tiff` and, where asked for, `<stem>_confidence.ome.tiff`.

    Finished bands wait in the hidden folder `.<stem>.part` beside them; a run after a kill begins behind them and
    writes the same bytes as an undisturbed one.

    Args:
        slide: An open slide.
        grid: Its tiles, in row order.
        predict: Gives class probabilities (N C size size) of N tiles (N size size 3, uint8).
        blend: How the tiles become a map.
        stem: Folder and first part of the names of the results.
        labels: Names and colours of the codes.
        confidence: Whether to write the confidence too.
        identity: Whatever tells this predictor from others; bands of another one are thrown away.

    Example:
        >>> with open_slide(path) as slide:  # doctest: +SKIP
        ...     grid = make_grid(slide.info, mpp=0.5, size=512, overlap=0.25, pad=True)
        ...     segment_slide(slide, grid, model, Blend(classes=4), Path("out/one"))
    """
    canvas = canvas_of(slide.info.width, slide.info.height, slide.mpp, grid)
    layers: tuple[Layer, ...] = ("codes", "confidence") if confidence else ("codes",)
    parts = BandParts(stem.with_name(f".{stem.name}.part"), _plan(canvas, blend, identity), layers)
    rest = first_needed(canvas, parts.done * BAND, blend.batch)
    later = replace(grid, x=grid.x[rest:], y=grid.y[rest:], tissue=grid.tissue[rest:])
    numbered = ((rest + i, tile) for i, tile in iter_tiles(slide, later))
    shown = track(numbered, f"segmenting {stem.name}", total=len(later))
    for band in stitch(predicted(shown, predict, canvas, blend), canvas, blend, min(parts.done * BAND, canvas.height)):
        parts.add(band)
    paths = [_written(parts, layer, stem, canvas, labels) for layer in layers]
    counts = parts.counts()
    parts.remove()
    size = canvas.width, canvas.height
    return SlideMap(paths[0], paths[1] if confidence else None, *size, canvas.mpp, canvas.scale, counts)


def first_needed(canvas: Canvas, row: int, batch: int) -> int:
    """Number of the first tile to predict for the map from `row` on: where the batch that reaches it begins."""
    reaching = np.flatnonzero(canvas.top + canvas.size > row)
    return int(reaching[0]) // batch * batch if len(reaching) and row < canvas.height else len(canvas.top)


def _plan(canvas: Canvas, blend: Blend, identity: str) -> dict[str, object]:
    places = digest_of(canvas.left.tobytes(), canvas.top.tobytes(), digits=FULL)
    sizes = [canvas.width, canvas.height, canvas.size, canvas.mpp, *canvas.scale]
    return {"identity": identity, "tiles": places, "canvas": sizes, "blend": asdict(blend), "band": BAND}


def _written(parts: BandParts, layer: Layer, stem: Path, canvas: Canvas, labels: Sequence[Label]) -> Path:
    """One TIFF of a layer, made among the parts, so that a kill leaves nothing elsewhere."""
    path = stem.with_name(f"{stem.name}_{'classes' if layer == 'codes' else layer}.ome.tiff")
    unfinished = parts.folder / path.name
    size = canvas.width, canvas.height
    drawn = labels if layer == "codes" else ()
    try:
        write_map(unfinished, size, canvas.mpp, lambda k: parts.rows(layer, k), labels=drawn, title=stem.name)
        unfinished.replace(path)
    except OSError as error:
        raise QaclimsError(
            f"{path} cannot be written: {error.strerror or error}. Make room or choose another place, and run again; "
            f"what is done is kept in {parts.folder}."
        ) from error
    return path
