"""Images under maps and masks: the colours of the image are faded, classes are drawn over them and outlined."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.resize import resize_bilinear

SIDE = 384  # pixels of the longer side
COVER = 0.55
MAP_COVER = 0.8
FADED = 0.3  # how much of a picture's own colour stays below a mask, so that pink tissue does not look like a class
U8 = NDArray[np.uint8]


def small(pixels: U8) -> U8:
    """Resize an image (H W 3) so that no side is longer than `SIDE`."""
    height, width = _size(pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def painted_labels(picture: U8, labels: U8, palette: U8, unpainted: Sequence[int] = ()) -> U8:
    """Draw classes over an image, with an outline where they meet.

    Args:
        picture: H W 3, from `small`.
        labels: h w, label indices, of any size.
        palette: 256 x 3 colours by label index.
        unpainted: Label indices that are not drawn.
    """
    height, width = picture.shape[:2]
    drawn = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    colors = palette[drawn].astype(np.float32)
    cover = np.where(np.isin(drawn, unpainted), 0.0, COVER)[..., None]
    faded = _faded(picture)
    mixed = faded + cover * (colors - faded)
    edge = _edges(drawn) & (cover[..., 0] > 0)
    mixed[edge] = colors[edge] * 0.75
    return _bytes(mixed)


def painted_maps(picture: U8, maps: NDArray[np.floating], classes: Sequence[int], palette: U8) -> U8:
    """Draw maps over an image: at each pixel the highest class, with its value as the opacity.

    Args:
        picture: H W 3, from `small`.
        maps: K h w in 0..1, of any size.
        classes: Label index of each map.
        palette: 256 x 3 colours by label index.
    """
    faded = _faded(picture)
    if not len(classes):
        return _bytes(faded)
    large = resize_bilinear(maps.astype(np.float32), *picture.shape[:2])
    colors = palette[np.asarray(classes)][large.argmax(axis=0)].astype(np.float32)
    strength = MAP_COVER * np.clip(large.max(axis=0), 0, 1)[..., None]
    return _bytes(faded + strength * (colors - faded))


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _faded(picture: U8) -> NDArray[np.float32]:
    light = picture.astype(np.float32).mean(axis=-1, keepdims=True)
    faded: NDArray[np.float32] = light + np.float32(FADED) * (picture - light)
    return faded


def _edges(labels: U8) -> NDArray[np.bool_]:
    """Return pixels (H W) whose neighbour to the right or below is of another class."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def _bytes(picture: NDArray[np.floating]) -> U8:
    drawn: U8 = picture.round().clip(0, 255).astype(np.uint8)
    return drawn
