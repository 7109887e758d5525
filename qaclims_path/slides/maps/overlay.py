"""A slide at a glance: its thumbnail under the half transparent class map, with a legend."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.slides.maps.areas import AreaRow, areas
from qaclims_path.slides.maps.label_tiff import Label, read_map
from qaclims_path.slides.maps.write import SlideMap

COVER = 0.45
PAPER, INK, FRAME = (255, 255, 255), (32, 33, 36), (150, 153, 158)
LINE = 34
SWATCH = 20
MARGIN = 14
ENOUGH = 16  # map pixels per thumbnail pixel that are worth reading


def draw_overlay(thumbnail: NDArray[np.uint8], made: SlideMap, labels: Sequence[Label]) -> NDArray[np.uint8]:
    """Paint the classes of a map over the thumbnail (H W 3) of its slide, with a legend of areas below.

    Codes without a label stay as they are.

    Args:
        thumbnail: The whole slide.
        made: What `segment_slide` gave.
        labels: The classes to paint.
    """
    height, width = thumbnail.shape[:2]
    codes, _ = read_map(made.classes, ENOUGH * height * width)
    small = np.asarray(Image.fromarray(codes).resize((width, height), Image.Resampling.NEAREST))
    colors = np.zeros((256, 3), np.float32)
    cover = np.zeros((256, 1), np.float32)
    for label in labels:
        colors[label.code], cover[label.code] = label.color, COVER
    mixed = thumbnail + cover[small] * (colors[small] - thumbnail)
    painted = mixed.round().astype(np.uint8)
    legend = _legend(areas("", made, labels), labels, width)
    whole: NDArray[np.uint8] = np.concatenate([painted, legend])
    return whole


def _legend(rows: Sequence[AreaRow], labels: Sequence[Label], width: int) -> NDArray[np.uint8]:
    """A strip below the picture: swatch, name and area of every class, wrapped to the width."""
    font = ImageFont.load_default(size=18)
    entries = [f"{row.class_name}  {row.area_mm2:.2f} mm2" for row in rows]
    places, x, y = [], MARGIN, MARGIN // 2
    for text in entries:
        wide = SWATCH + 8 + int(font.getlength(text)) + 2 * MARGIN
        if x > MARGIN and x + wide > width:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += wide
    strip = Image.new("RGB", (width, y + LINE + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(strip)
    for (left, top), text, label in zip(places, entries, labels, strict=True):
        box = (left, top + (LINE - SWATCH) // 2)
        pen.rectangle((*box, box[0] + SWATCH, box[1] + SWATCH), fill=label.color, outline=FRAME)
        pen.text((left + SWATCH + 8, top + LINE // 2), text, fill=INK, font=font, anchor="lm")
    return np.asarray(strip)
