"""Picture of the maps of one image: the image, every map over it, and the truth where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.painting import painted, painted_maps

PANEL = 240  # pixels of the longer side
NARROW = 96  # smallest width, so that titles do not overlap
GAP = 8
TITLE = 26
SWATCH = 14
PAPER, INK, FRAME = (255, 255, 255), (32, 33, 36), (150, 153, 158)


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
    panels = [("image", content.image, None)]
    for values, label in zip(content.maps, content.labels, strict=True):
        drawn = painted_maps(content.image, values[None], [label], palette)
        panels.append((names[label], drawn, palette[label]))
    if content.truth is not None:
        hidden = range(len(names), 256)
        panels.append(("truth", painted(content.image, content.truth, palette, hidden), None))
    return _side_by_side([(title, _small(panel), color) for title, panel, color in panels])


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
