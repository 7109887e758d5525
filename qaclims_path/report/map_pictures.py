"""Picture of the maps of one image: the image, every map over it, and the truth where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PANEL = 240  # pixels of the longer side
NARROW = 96  # smallest width, so that titles do not overlap
GAP = 8
TITLE = 26
SWATCH = 14
PAPER, INK, FRAME = (255, 255, 255), (32, 33, 36), (150, 153, 158)
COVER = 0.7
FADED = 0.35  # share of the image's colour below a map, so that pink tissue does not look like a map


@dataclass(frozen=True)
class MapPicture:
    """Content of the picture.

    Attributes:
        image: H W 3.
        maps: K H W, in 0..1.
        labels: Class index of each map.
        truth: H W label indices, or None.
    """

    image: NDArray[np.uint8]
    maps: NDArray[np.float32]
    labels: Sequence[int]
    truth: NDArray[np.uint8] | None = None


def map_picture(content: MapPicture, names: Sequence[str], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the image, its maps side by side and, where there is one, the truth.

    Args:
        content: Image, maps and truth to draw.
        names: Class names in label order.
        palette: 256 x 3 colours by label index.
    """
    grey = _faded(content.image)
    panels = [("image", content.image, None)]
    for values, label in zip(content.maps, content.labels, strict=True):
        strength = COVER * np.clip(values, 0, 1)[..., None]
        panels.append((names[label], _mixed(grey, palette[label], strength), palette[label]))
    if content.truth is not None:
        known = (content.truth < len(names))[..., None]
        panels.append(("truth", _mixed(grey, palette[content.truth], COVER * known), None))
    return _side_by_side([(title, _small(panel), color) for title, panel, color in panels])


def _faded(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    light = image.astype(np.float32).mean(axis=-1, keepdims=True)
    faded: NDArray[np.float32] = light + FADED * (image - light)
    return faded


def _mixed(picture: NDArray[np.float32], color: NDArray[np.uint8], strength: NDArray[np.floating]) -> NDArray[np.uint8]:
    mixed: NDArray[np.uint8] = (picture + strength * (color - picture)).round().clip(0, 255).astype(np.uint8)
    return mixed


def _small(picture: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(picture)
    scale = PANEL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)


def _side_by_side(panels: Sequence[tuple[str, Image.Image, NDArray[np.uint8] | None]]) -> NDArray[np.uint8]:
    width = max(NARROW, *(panel.width for _, panel, _ in panels))
    height = max(panel.height for _, panel, _ in panels)
    sheet = Image.new("RGB", (len(panels) * (width + GAP) + GAP, height + TITLE + 2 * GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for column, (title, panel, color) in enumerate(panels):
        left, top = GAP + column * (width + GAP), GAP
        if color is not None:
            box = (left, top + 3, left + SWATCH, top + 3 + SWATCH)
            pen.rectangle(box, fill=tuple(color.tolist()), outline=FRAME)
        pen.text((left + (SWATCH + 6 if color is not None else 0), top), title, INK, font=font)
        sheet.paste(panel, (left, top + TITLE))
    return np.asarray(sheet)
