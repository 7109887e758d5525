"""Draw the class map of a slide over its thumbnail, with a legend."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.slides.maps.areas import AreaRow, areas
from qaclims_path.slides.maps.label_tiff import Label, read_map
from qaclims_path.slides.maps.write import SlideMap

OPACITY = 0.45  # opacity of the class colours
WHITE, TEXT_COLOR, FRAME_COLOR = (255, 255, 255), (32, 33, 36), (150, 153, 158)
NOTICE_COLOR = (176, 0, 32)
LINE_HEIGHT = 34
SWATCH = 20
MARGIN = 14
OVERSAMPLING = 16  # map pixels to read per thumbnail pixel, at most


def draw_overlay(
    thumbnail: NDArray[np.uint8], slide_map: SlideMap, labels: Sequence[Label], *, notice: str = ""
) -> NDArray[np.uint8]:
    """Paint the classes of a map over the thumbnail of its slide, with a legend of areas below (H W 3).

    Pixels whose code has no label keep their colour.

    Args:
        thumbnail: Thumbnail of the whole slide (H W 3).
        slide_map: The map that `segment_slide` wrote.
        labels: Classes to paint.
        notice: A few words to put before the legend; may be empty.
    """
    height, width = thumbnail.shape[:2]
    codes, _ = read_map(slide_map.classes, OVERSAMPLING * height * width)
    small = np.asarray(Image.fromarray(codes).resize((width, height), Image.Resampling.NEAREST))
    colors = np.zeros((256, 3), np.float32)
    opacity = np.zeros((256, 1), np.float32)
    for label in labels:
        colors[label.code], opacity[label.code] = label.color, OPACITY
    mixed = thumbnail + opacity[small] * (colors[small] - thumbnail)
    painted = mixed.round().astype(np.uint8)
    legend = _legend(areas("", slide_map, labels), labels, width, notice)
    overlay: NDArray[np.uint8] = np.concatenate([painted, legend])
    return overlay


def _legend(rows: Sequence[AreaRow], labels: Sequence[Label], width: int, notice: str) -> NDArray[np.uint8]:
    """Return a strip with a notice, and with swatch, name and area of every class, wrapped to the width."""
    font = ImageFont.load_default(size=18)
    entries = [f"{row.class_name}  {row.area_mm2:.2f} mm2" for row in rows]
    positions, x, y = [], MARGIN, MARGIN // 2 + (LINE_HEIGHT if notice else 0)
    for text in entries:
        entry_width = SWATCH + 8 + int(font.getlength(text)) + 2 * MARGIN
        if x > MARGIN and x + entry_width > width:
            x, y = MARGIN, y + LINE_HEIGHT
        positions.append((x, y))
        x += entry_width
    strip = Image.new("RGB", (width, y + LINE_HEIGHT + MARGIN // 2), WHITE)
    pen = ImageDraw.Draw(strip)
    pen.text((MARGIN, MARGIN // 2 + LINE_HEIGHT // 2), notice, fill=NOTICE_COLOR, font=font, anchor="lm")
    for (left, top), text, label in zip(positions, entries, labels, strict=True):
        box = (left, top + (LINE_HEIGHT - SWATCH) // 2)
        pen.rectangle((*box, box[0] + SWATCH, box[1] + SWATCH), fill=label.color, outline=FRAME_COLOR)
        pen.text((left + SWATCH + 8, top + LINE_HEIGHT // 2), text, fill=TEXT_COLOR, font=font, anchor="lm")
    return np.asarray(strip)
