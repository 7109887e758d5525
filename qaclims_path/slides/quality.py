"""Quality control of tiling: one picture and one GeoJSON per slide that show tissue and tiles."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.border import border
from qaclims_path.files.atomic import atomic_path
from qaclims_path.slides.cohort.manifest import TileLabels
from qaclims_path.slides.maps.export import Shape, write_geojson
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.tissue import TissueMask, overview
from qaclims_path.types import TileGrid

MAX_SIDE = 1600  # pixels
CAPTION_HEIGHT = 22
OUTLINE_WIDTH = 2
TISSUE_COLOR, TILE_COLOR = (0, 150, 60), (30, 60, 220)
SEVERAL_CLASSES_COLOR = (90, 90, 90)
Color = tuple[int, int, int]


def draw_quality(slide: Slide, mask: TissueMask, grid: TileGrid, title: str) -> Image.Image:
    """Draw a thumbnail with the tissue outlined in green, the kept tiles in blue, and the title below."""
    thumbnail = Image.fromarray(overview(slide, max(1.0, max(slide.info.width, slide.info.height) / MAX_SIDE))[0])
    thumbnail.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    picture = np.array(thumbnail)
    step = slide.info.width / picture.shape[1], slide.info.height / picture.shape[0]
    picture[border(_resized(mask, step, picture.shape[:2]), OUTLINE_WIDTH)] = TISSUE_COLOR
    sheet = Image.new("RGB", (max(picture.shape[1], 480), picture.shape[0] + CAPTION_HEIGHT), "white")
    sheet.paste(Image.fromarray(picture))
    pen = ImageDraw.Draw(sheet)
    width, height = grid.width0 / step[0], grid.height0 / step[1]
    for x, y in zip((grid.x / step[0]).tolist(), (grid.y / step[1]).tolist(), strict=True):
        if min(width, height) >= 4:
            pen.rectangle((round(x), round(y), round(x + width) - 1, round(y + height) - 1), outline=TILE_COLOR)
        else:  # outlines would cover the picture
            pen.point((x + width / 2, y + height / 2), fill=TILE_COLOR)
    pen.text((4, picture.shape[0] + 4), title, fill="black", font=ImageFont.load_default(13))
    return sheet


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
