"""Draw the classes of a slide over its thumbnail, and how sure they are, with title, scale bar and legend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.painting import DOUBT, doubtful, painted
from qaclims_path.compute.resize import resize_nearest
from qaclims_path.files.numbers import area_text, percent_text
from qaclims_path.slides.maps.areas import AreaRow, areas
from qaclims_path.slides.maps.label_tiff import Label, read_map
from qaclims_path.slides.maps.write import SlideMap

Color = tuple[int, int, int]
PAPER, INK, FAINT, FRAME = (255, 255, 255), (32, 33, 36), (95, 100, 107), (150, 153, 158)
NOTICE_COLOR = (176, 0, 32)
TITLE, TEXT = 26, 19  # letters, in pixels
LINE_HEIGHT = 34
SWATCH = 20
MARGIN = 14
BAR_HEIGHT = 6
BAR_SHARE = 0.22  # of the picture's width, which the scale bar may take
OUTLINE = 800  # pixels of the picture's longer side for each pixel of an outline
OVERSAMPLING = 16  # map pixels to read per thumbnail pixel, at most
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Captions:
    """Texts of a drawing, any of which may be empty.

    Attributes:
        title: Name of the slide.
        model: What made the map.
        notice: A few words of warning.
    """

    title: str = ""
    model: str = ""
    notice: str = ""


@dataclass(frozen=True)
class Drawing:
    """A drawing (H W 3), and its rows that are the slide, without captions and legend: first, and after the last."""

    pixels: Pixels
    rows: tuple[int, int]


def draw_overlay(
    thumbnail: Pixels, slide_map: SlideMap, labels: Sequence[Label], captions: Captions = Captions()
) -> Drawing:
    """Outline and tint the classes of a map over the thumbnail of its slide; the legend below has their areas.

    Pixels whose code has no label keep their colour.

    Args:
        thumbnail: Thumbnail of the whole slide (H W 3).
        slide_map: The map that `segment_slide` wrote.
        labels: Classes to paint.
        captions: Texts above the picture.
    """
    codes = _codes(thumbnail, slide_map)
    palette = np.zeros((256, 3), np.uint8)
    for label in labels:
        palette[label.code] = label.color
    hidden = sorted({*range(256)} - {label.code for label in labels})
    width = max(1, round(max(codes.shape) / OUTLINE))
    picture = painted(thumbnail, codes, palette, hidden, width=width)
    texts = [_area_text(row) for row in areas("", slide_map, labels)]
    return _framed(picture, slide_map, captions, list(zip(texts, (label.color for label in labels), strict=True)))


def draw_confidence(
    thumbnail: Pixels, slide_map: SlideMap, labels: Sequence[Label], captions: Captions = Captions()
) -> tuple[Drawing, float | None]:
    """Cover the places where a map is unsure; also returns the mean probability of the labels, None without any.

    Args:
        thumbnail: Thumbnail of the whole slide (H W 3).
        slide_map: The map that `segment_slide` wrote, with its confidence.
        labels: Classes of the map.
        captions: Texts above the picture.
    """
    if slide_map.confidence is None:
        raise ValueError("this map was written without its confidence")
    height, width = thumbnail.shape[:2]
    stored, _ = read_map(slide_map.confidence, OVERSAMPLING * height * width)
    confidence = resize_nearest(stored, height, width).astype(np.float32) / np.float32(255)
    known = np.isin(_codes(thumbnail, slide_map), [label.code for label in labels])
    mean = float(confidence[known].mean()) if known.any() else None
    picture = doubtful(thumbnail, np.where(known, confidence, np.float32(1)), len(labels))
    said = "no class" if mean is None else f"mean probability of the labels {100 * mean:.0f} %"
    return _framed(picture, slide_map, captions, [(f"unsure ({said})", DOUBT)]), mean


def scale_bar(micrometres: float) -> tuple[float, str]:
    """Choose the longest round length that is not above a given one; returns micrometres and text.

    Examples:
        >>> scale_bar(740), scale_bar(2600)
        ((500.0, '500 um'), (2000.0, '2 mm'))
    """
    power = 10.0 ** np.floor(np.log10(micrometres))
    length = float(next(factor for factor in (5, 2, 1) if factor * power <= micrometres) * power)
    return length, f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} um"


def _codes(thumbnail: Pixels, slide_map: SlideMap) -> Pixels:
    """Read the codes of a map at the size of the thumbnail."""
    height, width = thumbnail.shape[:2]
    codes, _ = read_map(slide_map.classes, OVERSAMPLING * height * width)
    return resize_nearest(codes, height, width)


def _area_text(row: AreaRow) -> str:
    """Return name, area and share; Pillow's font has no superscript and no sign for micro."""
    return f"{row.class_name}  {area_text(row.area_mm2)}  {percent_text(100 * row.share)}"


def _framed(picture: Pixels, slide_map: SlideMap, captions: Captions, entries: Sequence[tuple[str, Color]]) -> Drawing:
    """Put captions above a picture of the slide, and a scale bar and a legend below."""
    height, width = picture.shape[:2]
    head = _head(captions, width)
    foot = _foot(entries, width, slide_map.width * slide_map.mpp / width)
    return Drawing(np.concatenate([head, picture, foot]), (len(head), len(head) + height))


def _head(captions: Captions, width: int) -> Pixels:
    lines = [(captions.title, TITLE, INK), (captions.model, TEXT, FAINT), (captions.notice, TEXT, NOTICE_COLOR)]
    lines = [line for line in lines if line[0]]
    strip = Image.new("RGB", (width, LINE_HEIGHT * len(lines) + MARGIN * bool(lines)), PAPER)
    pen = ImageDraw.Draw(strip)
    for row, (text, size, color) in enumerate(lines):
        font, middle = _font(size), MARGIN // 2 + LINE_HEIGHT * row + LINE_HEIGHT // 2
        pen.text((MARGIN, middle), _cut(text, font, width - 2 * MARGIN), color, font=font, anchor="lm")
    return np.asarray(strip)


def _foot(entries: Sequence[tuple[str, Color]], width: int, um_per_pixel: float) -> Pixels:
    """Return a strip with the scale bar, and with a swatch and a text for every entry, wrapped to the width."""
    font = _font(TEXT)
    length, text = scale_bar(BAR_SHARE * width * um_per_pixel)
    pixels = round(length / um_per_pixel)
    left = MARGIN + pixels + 10
    x, y = left + int(font.getlength(text)) + 3 * MARGIN, MARGIN // 2
    positions = []
    for entry, _ in entries:
        wide = SWATCH + 8 + int(font.getlength(entry)) + 2 * MARGIN
        if x > MARGIN and x + wide > width:
            x, y = MARGIN, y + LINE_HEIGHT
        positions.append((x, y))
        x += wide
    strip = Image.new("RGB", (width, y + LINE_HEIGHT + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(strip)
    middle = MARGIN // 2 + LINE_HEIGHT // 2
    pen.rectangle((MARGIN, middle - BAR_HEIGHT // 2, MARGIN + pixels, middle + BAR_HEIGHT // 2), INK)
    pen.text((left, middle), text, INK, font=font, anchor="lm")
    for (x, y), (entry, color) in zip(positions, entries, strict=True):
        top = y + (LINE_HEIGHT - SWATCH) // 2
        pen.rectangle((x, top, x + SWATCH, top + SWATCH), color, FRAME)
        pen.text((x + SWATCH + 8, y + LINE_HEIGHT // 2), entry, INK, font=font, anchor="lm")
    return np.asarray(strip)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten a text to a width in pixels."""
    kept = len(text)
    while kept > 1 and font.getlength(text[:kept] + "…" * (kept < len(text))) > width:
        kept -= 1
    return text[:kept] + "…" * (kept < len(text))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
