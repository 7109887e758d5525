"""A contact sheet: one row of example images per class, with their masks, for a first look at a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.painting import painted

TILE = 200
MARGIN = 28
GAP = 12
HAIR = 3  # between a picture and its mask
TITLE = 78
HEADING = 46
CAPTION = 24
SWATCH = 22
OUTLINE = 2
INK = (32, 33, 36)
FAINT = (110, 113, 118)
PAPER = (255, 255, 255)
FRAME = (215, 217, 220)
Color = tuple[int, int, int]
P = TypeVar("P", np.uint8, np.bool_)


@dataclass(frozen=True)
class Example:
    """One image of a row, as `example` makes it.

    Attributes:
        caption: Name of the image.
        image: H W 3, neither side above `TILE` pixels.
        drawn: H W 3, the image with its mask drawn over it, or None where the split has no masks.
    """

    caption: str
    image: NDArray[np.uint8]
    drawn: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Row:
    """One class: its name, its colour, a remark, and images with the class."""

    title: str
    color: Color
    remark: str
    examples: Sequence[Example]


def example(caption: str, image: NDArray[np.uint8], inside: NDArray[np.bool_] | None, color: Color) -> Example:
    """Resize an image, and draw one class over it where there is a mask.

    Args:
        caption: Name of the image.
        image: H W 3.
        inside: H W, the pixels of the class, or None.
        color: Colour of the class.
    """
    small = _resized(image, Image.Resampling.LANCZOS)
    if inside is None:
        return Example(caption, small)
    return Example(caption, small, overlay(small, _resized(inside, Image.Resampling.NEAREST), color))


def overlay(image: NDArray[np.uint8], inside: NDArray[np.bool_], color: Color) -> NDArray[np.uint8]:
    """Tint and outline the pixels of an image (H W 3) inside a mask (H W)."""
    palette = np.zeros((256, 3), np.uint8)
    palette[1] = color
    return painted(image, inside.astype(np.uint8), palette, [0], width=OUTLINE)


def contact_sheet(title: str, remark: str, rows: Sequence[Row], *, columns: int = 6) -> Image.Image:
    """Draw the sheet.

    Args:
        title: Heading.
        remark: Line below the heading.
        rows: One per class; a row without images is only its heading.
        columns: Images in a row; an image and its mask count as one.
    """
    masked = any(example.drawn is not None for row in rows for example in row.examples)
    cell = 2 * TILE + HAIR if masked else TILE
    width = 2 * MARGIN + columns * (cell + GAP) - GAP
    tops = [MARGIN + TITLE]
    for row in rows:
        tallest = max((example.image.shape[0] + CAPTION for example in row.examples[:columns]), default=0)
        tops.append(tops[-1] + HEADING + tallest + GAP)
    sheet = Image.new("RGB", (width, tops[-1] + MARGIN - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (MARGIN, MARGIN), title, 30, width - 2 * MARGIN)
    _write(draw, (MARGIN, MARGIN + 42), remark, 16, width - 2 * MARGIN, FAINT)
    for row, top in zip(rows, tops, strict=False):
        _draw_heading(draw, row, top, width)
        for column, shown in enumerate(row.examples[:columns]):
            _draw_example(sheet, shown, MARGIN + column * (cell + GAP), top + HEADING)
    return sheet


def _draw_heading(draw: ImageDraw.ImageDraw, row: Row, top: int, width: int) -> None:
    draw.line([(MARGIN, top), (width - MARGIN, top)], FRAME)
    box = (MARGIN, top + 12, MARGIN + SWATCH, top + 12 + SWATCH)
    draw.rounded_rectangle(box, radius=5, fill=row.color, outline=FRAME)
    left = MARGIN + SWATCH + 10
    left += 14 + _write(draw, (left, top + 11), row.title, 20, (width - left) // 2)
    _write(draw, (left, top + 15), row.remark, 15, width - MARGIN - left, FAINT)


def _draw_example(sheet: Image.Image, shown: Example, left: int, top: int) -> None:
    height, width = shown.image.shape[:2]
    draw = ImageDraw.Draw(sheet)
    for column, picture in enumerate((shown.image, shown.drawn)):
        if picture is not None:
            x = left + column * (width + HAIR)
            sheet.paste(Image.fromarray(picture), (x, top))
            draw.rectangle((x - 1, top - 1, x + width, top + height), outline=FRAME)  # around it, for tiles of glass
    caption = width if shown.drawn is None else 2 * width + HAIR
    _write(draw, (left, top + height + 4), shown.caption, 12, caption, FAINT)


def _resized(picture: NDArray[P], method: Image.Resampling) -> NDArray[P]:
    """Resize until the longer side is `TILE` pixels; small images grow, so that rows have one height."""
    image = Image.fromarray(picture)
    scale = TILE / max(image.size)
    return np.asarray(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), method))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, size: int, width: int, color: Color = INK
) -> int:
    """Write a text, cut in its middle to fit a width in pixels; return the width it takes."""
    font = _font(size)
    shown, kept = text, len(text)
    while kept > 4 and draw.textlength(shown, font=font) > width:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    draw.text(corner, shown, color, font=font)
    return round(draw.textlength(shown, font=font))
