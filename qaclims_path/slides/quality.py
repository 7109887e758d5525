"""One picture and one GeoJSON per slide that show where tiles were cut, for somebody to look at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.files.atomic import atomic_path
from qaclims_path.slides.cohort.manifest import TileLabels
from qaclims_path.slides.maps.export import Shape, write_geojson
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.tissue import TissueMask, overview
from qaclims_path.types import TileGrid

LONGEST = 1600  # pixels of the longer side
CAPTION = 22
OUTLINE, FRAME = (0, 150, 60), (30, 60, 220)
SEVERAL = (90, 90, 90)
Color = tuple[int, int, int]


def draw_quality(slide: Slide, mask: TissueMask, grid: TileGrid, title: str) -> Image.Image:
    """Thumbnail, outline of the tissue in green, kept tiles in blue, and a line that says what is seen."""
    small = Image.fromarray(overview(slide, max(1.0, max(slide.info.width, slide.info.height) / LONGEST))[0])
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    picture = np.array(small)
    step = slide.info.width / picture.shape[1], slide.info.height / picture.shape[0]
    picture[_edge(_at_size(mask, step, picture.shape[:2]))] = OUTLINE
    sheet = Image.new("RGB", (max(picture.shape[1], 480), picture.shape[0] + CAPTION), "white")
    sheet.paste(Image.fromarray(picture))
    pen = ImageDraw.Draw(sheet)
    width, height = grid.width0 / step[0], grid.height0 / step[1]
    for x, y in zip((grid.x / step[0]).tolist(), (grid.y / step[1]).tolist(), strict=True):
        if min(width, height) >= 4:
            pen.rectangle((round(x), round(y), round(x + width) - 1, round(y + height) - 1), outline=FRAME)
        else:  # frames would cover everything
            pen.point((x + width / 2, y + height / 2), fill=FRAME)
    pen.text((4, picture.shape[0] + 4), title, fill="black", font=ImageFont.load_default(13))
    return sheet


def save_quality(path: Path, sheet: Image.Image) -> None:
    """Write the picture as JPEG."""
    with atomic_path(path) as temporary:
        sheet.save(temporary, quality=88)


def write_tile_shapes(path: Path, name: str, grid: TileGrid, labels: TileLabels, colors: Sequence[Color]) -> None:
    """Write the tiles as GeoJSON that opens in QuPath: class, tissue share, and the share of each class."""
    import shapely

    boxes = shapely.box(grid.x, grid.y, grid.x + grid.width0, grid.y + grid.height0)

    def shapes() -> Iterator[Shape]:
        for i, box in enumerate(boxes):
            held = np.flatnonzero(labels.present[i])
            measured = {"Tissue share": round(float(grid.tissue[i]), 4)}
            if labels.shares is not None:
                found = zip(labels.classes, labels.shares[i].tolist(), strict=True)
                measured |= {f"Share of {called}": round(share, 4) for called, share in found}
            called = ": ".join(labels.classes[k] for k in held) or None
            color = colors[held[0]] if len(held) == 1 else SEVERAL
            yield Shape(box, called, color if called else None, measured)

    write_geojson(path, shapes(), kind="detection", seed=name)


def _at_size(mask: TissueMask, step: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask on the pixels of the thumbnail."""
    rows = np.minimum((np.arange(shape[0]) + 0.5) * step[1] / mask.scale[1], mask.mask.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) * step[0] / mask.scale[0], mask.mask.shape[1] - 1).astype(int)
    return mask.mask[np.ix_(rows, columns)]


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels inside with a neighbour outside, two pixels wide."""
    from scipy.ndimage import binary_erosion

    edge: NDArray[np.bool_] = inside & ~binary_erosion(inside, iterations=2, border_value=1)
    return edge


def scale_text(grid: TileGrid) -> str:
    """Size of the tiles in words, such as '224 px at 0.5 um/px (112 um)'."""
    return f"{grid.size} px at {grid.mpp:g} um/px ({grid.size * grid.mpp:.4g} um)"
