"""Quality control of tiling: one picture and one GeoJSON per slide that show tissue, annotations and tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.border import border
from qaclims_path.files.atomic import atomic_path
from qaclims_path.slides.annotations.regions import SlideRegions, rings
from qaclims_path.slides.cohort.manifest import TileLabels
from qaclims_path.slides.maps.export import Shape, write_geojson
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.tissue import TissueMask, overview
from qaclims_path.types import TileGrid

MAX_SIDE = 1600  # pixels
CAPTION_HEIGHT = 22
OUTLINE_WIDTH = 2
TISSUE_COLOR, TILE_COLOR = (0, 150, 60), (30, 60, 220)
UNKNOWN_COLOR = (150, 150, 150)  # of tiles of which nothing is known
SEVERAL_CLASSES_COLOR = (90, 90, 90)
FILL = 0.3  # opacity of annotated regions
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """Annotations as they were understood.

    Attributes:
        regions: The annotated regions.
        colors: Colour of each class.
        unknown: N, bool: the tiles of which no class is known.
    """

    regions: SlideRegions
    colors: Sequence[Color]
    unknown: NDArray[np.bool_]


def draw_quality(slide: Slide, mask: TissueMask, grid: TileGrid, title: str, drawn: Drawn | None = None) -> Image.Image:
    """Draw a thumbnail with the tissue outlined in green, the kept tiles in blue, and the title below.

    Annotated regions are filled in the colours of their classes, and tiles of which nothing is known are grey.
    """
    thumbnail = Image.fromarray(overview(slide, max(1.0, max(slide.info.width, slide.info.height) / MAX_SIDE))[0])
    thumbnail.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    picture = np.array(thumbnail)
    step = slide.info.width / picture.shape[1], slide.info.height / picture.shape[0]
    if drawn is not None:
        picture = _painted(picture, drawn, step)
    picture[border(_resized(mask, step, picture.shape[:2]), OUTLINE_WIDTH)] = TISSUE_COLOR
    lines = 1 if drawn is None else 2
    sheet = Image.new("RGB", (max(picture.shape[1], 480), picture.shape[0] + lines * CAPTION_HEIGHT), "white")
    sheet.paste(Image.fromarray(picture))
    pen = ImageDraw.Draw(sheet)
    _draw_tiles(pen, grid, step, np.zeros(len(grid), np.bool_) if drawn is None else drawn.unknown)
    pen.text((4, picture.shape[0] + 4), title, fill="black", font=ImageFont.load_default(13))
    if drawn is not None:
        _draw_legend(pen, drawn, picture.shape[0] + CAPTION_HEIGHT + 4)
    return sheet


def _draw_tiles(
    pen: ImageDraw.ImageDraw, grid: TileGrid, step: tuple[float, float], unknown: NDArray[np.bool_]
) -> None:
    """Draw the outlines of the tiles, those of which something is known last."""
    width, height = grid.width0 / step[0], grid.height0 / step[1]
    for i in np.argsort(~unknown, kind="stable").tolist():
        x, y, color = grid.x[i] / step[0], grid.y[i] / step[1], UNKNOWN_COLOR if unknown[i] else TILE_COLOR
        if min(width, height) >= 4:
            pen.rectangle((round(x), round(y), round(x + width) - 1, round(y + height) - 1), outline=color)
        else:  # outlines would cover the picture
            pen.point((x + width / 2, y + height / 2), fill=color)


def _painted(picture: NDArray[np.uint8], drawn: Drawn, step: tuple[float, float]) -> NDArray[np.uint8]:
    """Fill the annotated regions lightly and outline them; small ones lie above large ones, as in masks."""
    mixed = picture.copy()
    for k in reversed(drawn.regions.smallest_first):
        inside, color = _inside(drawn.regions.shapes[k], step, picture.shape[:2]), np.array(drawn.colors[k])
        mixed[inside] = ((1 - FILL) * picture[inside] + FILL * color).round()
        mixed[border(inside, OUTLINE_WIDTH)] = color
    return mixed


def _inside(shape: Any, step: tuple[float, float], size: tuple[int, ...]) -> NDArray[np.bool_]:  # noqa: ANN401
    """Return the pixels of the thumbnail (H W) whose area lies in a shape of level 0 pixels."""
    canvas = Image.new("1", (size[1], size[0]))
    pen = ImageDraw.Draw(canvas)
    for outer, holes in sorted(rings(shape), key=lambda ring: -float(np.prod(np.ptp(ring[0], axis=0)))):
        for points, value in ((outer, 1), *((hole, 0) for hole in holes)):
            pen.polygon([(float(x), float(y)) for x, y in points / step], fill=value)
    return np.array(canvas)


def _draw_legend(pen: ImageDraw.ImageDraw, drawn: Drawn, y: int) -> None:
    """Write the names of the classes in a row, each behind its colour."""
    x, font = 4.0, ImageFont.load_default(13)
    for name, color in zip(drawn.regions.classes, drawn.colors, strict=True):
        pen.rectangle((x, y + 1, x + 12, y + 13), fill=color, outline="black")
        pen.text((x + 17, y), name, fill="black", font=font)
        x += 17 + pen.textlength(name, font=font) + 14


def save_quality(path: Path, sheet: Image.Image) -> None:
    """Write the picture as a JPEG file."""
    with atomic_path(path) as temporary:
        sheet.save(temporary, quality=88)


def write_tile_shapes(path: Path, name: str, grid: TileGrid, labels: TileLabels, colors: Sequence[Color]) -> None:
    """Write the tiles as GeoJSON for QuPath, with class, share of tissue and share of each class."""
    import shapely

    boxes = shapely.box(grid.x, grid.y, grid.x + grid.width0, grid.y + grid.height0)

    def shapes() -> Iterator[Shape]:
        for i, box in enumerate(boxes):
            present = np.flatnonzero(labels.present[i])
            measurements = {"Tissue share": round(float(grid.tissue[i]), 4)}
            if labels.shares is not None:
                shares = zip(labels.classes, labels.shares[i].tolist(), strict=True)
                measurements |= {f"Share of {class_name}": round(share, 4) for class_name, share in shares}
            label = ": ".join(labels.classes[k] for k in present) or None
            color = colors[present[0]] if len(present) == 1 else SEVERAL_CLASSES_COLOR
            yield Shape(box, label, color if label else None, measurements)

    write_geojson(path, shapes(), kind="detection", seed=name)


def _resized(mask: TissueMask, step: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask at the size of the thumbnail (H W), by nearest neighbour."""
    rows = np.minimum((np.arange(shape[0]) + 0.5) * step[1] / mask.scale[1], mask.mask.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) * step[0] / mask.scale[0], mask.mask.shape[1] - 1).astype(int)
    return mask.mask[np.ix_(rows, columns)]


def scale_text(grid: TileGrid) -> str:
    """Describe the size of the tiles, such as '224 px at 0.5 um/px (112 um)'."""
    return f"{grid.size} px at {grid.mpp:g} um/px ({grid.size * grid.mpp:.4g} um)"
