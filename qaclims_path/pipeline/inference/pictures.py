"""Pictures of segmented slides and images for pages, read from the folder of the results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.painting import doubtful, painted
from qaclims_path.compute.resize import resize_nearest
from qaclims_path.errors import QaclimsError
from qaclims_path.files.images import read_image, read_mask
from qaclims_path.pipeline.inference.inputs import CONFIDENCE, DOUBT, LABELS, OVERLAY, SLIDES
from qaclims_path.report.slides import Picture, picture_of
from qaclims_path.slides.cohort.state import read_state

if TYPE_CHECKING:
    from qaclims_path.models.segmenters.spec import Channel

CLASSES, UNSURE = "under its classes", "covered where the model is unsure"
Pixels = NDArray[np.uint8]


def slide_pictures(out: Path, name: str, title: str, side: int) -> tuple[Picture, ...]:
    """Read the pictures of a slide, without their captions and legends; none where they are missing.

    Args:
        out: Folder of the results.
        name: Name of the slide.
        title: Name of the slide for people.
        side: Longer side of the pictures in pixels, at most.
    """
    state = read_state(out, name)
    rows = state.result.get("rows") if state else None
    if rows is None:
        return ()
    read = ((_read(out / SLIDES / f"{name}{ending}"), text) for ending, text in ((OVERLAY, CLASSES), (DOUBT, UNSURE)))
    return tuple(
        picture_of(pixels[rows[0] : rows[1]], f"{title} {text}", side) for pixels, text in read if pixels is not None
    )


def image_pictures(out: Path, name: str, path: Path, channels: Sequence["Channel"], side: int) -> tuple[Picture, ...]:
    """Draw an image under its labels, and where they are unsure; nothing where a file is gone.

    Args:
        out: Folder of the results.
        name: Name of the image.
        path: The image.
        channels: Classes of the model.
        side: Longer side of the pictures in pixels, at most.
    """
    pixels, codes = _read(path), _read_codes(out / LABELS / f"{name}.png")
    if pixels is None or codes is None:
        return ()
    small = Image.fromarray(pixels)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    picture, palette = np.asarray(small), np.zeros((256, 3), np.uint8)
    for channel in channels:
        palette[channel.code] = channel.color
    hidden = sorted({*range(256)} - {channel.code for channel in channels})
    size = picture.shape[:2]
    drawn = [(painted(picture, resize_nearest(codes, *size), palette, hidden, width=1), CLASSES)]
    stored = _read_codes(out / CONFIDENCE / f"{name}.png")
    if stored is not None:
        confidence = resize_nearest(stored, *size).astype(np.float32) / np.float32(255)
        drawn.append((doubtful(picture, confidence, len(channels)), UNSURE))
    return tuple(picture_of(each, f"{name} {text}", side) for each, text in drawn)


def _read(path: Path) -> Pixels | None:
    """Read a picture; None where it cannot be read (any more)."""
    try:
        return read_image(path)
    except QaclimsError:
        return None


def _read_codes(path: Path) -> Pixels | None:
    try:
        return read_mask(path)
    except QaclimsError:
        return None
