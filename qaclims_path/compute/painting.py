"""Paint classes, maps and doubt over pictures so that the tissue below stays visible."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.border import borders

FILL = 0.18  # share of the class colour inside an outline: nuclei are seen through it
MAP_COVER = 0.7  # the same at the highest value of a map
FADED = 0.3  # share of a picture's own colour below a map, so that pink tissue does not look like a class
DARK, PALE = 150, 600  # sums of red, green and blue; an outline outside them cannot be seen in shadow or on glass
DOUBT, DOUBT_COVER = (170, 0, 120), 0.8
U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


def painted(
    picture: U8, labels: U8, palette: U8, hidden: Sequence[int] = (), *, width: int = 2, fill: float = FILL
) -> U8:
    """Paint the classes of a label map: a light fill, and an outline of each area in the colour of its class.

    The picture's own edge is outlined too, so that the class of a picture with a single one is seen.

    Args:
        picture: H W 3.
        labels: H W, label indices.
        palette: 256 x 3 colours by label index.
        hidden: Label indices that are not painted.
        width: Width of an outline in pixels; it lies inside the area.
        fill: Opacity of the fill, 0..1.

    Examples:
        >>> grey, black = np.full((3, 3, 3), 200, np.uint8), np.zeros((256, 3), np.uint8)
        >>> painted(grey, np.zeros((3, 3), np.uint8), black, width=1)[..., 0]
        array([[127, 127, 127],
               [127, 164, 127],
               [127, 127, 127]], dtype=uint8)
    """
    shown = ~np.isin(labels, np.asarray(hidden, np.uint8))
    drawn = blended(picture, palette[labels], fill * shown)
    edge = borders(labels, width)
    edge[:width] = edge[-width:] = edge[:, :width] = edge[:, -width:] = True
    edge &= shown
    drawn[edge] = outline_colors(palette)[labels[edge]]
    return drawn


def painted_maps(picture: U8, maps: F32, classes: Sequence[int], palette: U8) -> U8:
    """Paint maps over a faded picture: at each pixel the highest class, with its value as the opacity.

    Args:
        picture: H W 3.
        maps: K H W in 0..1.
        classes: Label index of each map.
        palette: 256 x 3 colours by label index.
    """
    if not len(classes):
        return faded(picture, FADED)
    colors = palette[np.asarray(classes)][maps.argmax(axis=0)]
    return blended(faded(picture, FADED), colors, MAP_COVER * np.clip(maps.max(axis=0), 0, 1))


def doubtful(picture: U8, confidence: F32, classes: int) -> U8:
    """Cover a grey picture with `DOUBT`, the more the less confident a prediction is; full where it is a guess.

    Args:
        picture: H W 3.
        confidence: H W, the probability of the best class.
        classes: Number of classes.
    """
    doubt = (1 - confidence) * classes / max(1, classes - 1)
    return blended(faded(picture, 0.0), np.array(DOUBT, np.uint8), DOUBT_COVER * np.clip(doubt, 0, 1))


def blended(picture: U8, colors: U8, strength: NDArray[np.floating]) -> U8:
    """Mix colours (H W 3, or one) into a picture (H W 3), with a strength 0..1 per pixel (H W)."""
    below = picture.astype(np.float32)
    mixed = below + strength[..., None].astype(np.float32) * (colors.astype(np.float32) - below)
    drawn: U8 = mixed.round().clip(0, 255).astype(np.uint8)
    return drawn


def faded(picture: U8, kept: float) -> U8:
    """Return a picture (H W 3) with a share of its own colour, between 0 (grey) and 1 (unchanged)."""
    light = picture.astype(np.float32).mean(axis=-1, keepdims=True)
    drawn: U8 = (light + kept * (picture - light)).round().astype(np.uint8)
    return drawn


def outline_colors(palette: U8) -> U8:
    """Darken pale colours and lighten dark ones (N 3), so that their outlines are visible on glass and in shadow.

    Examples:
        >>> outline_colors(np.array([[255, 255, 255], [0, 0, 0], [200, 0, 0]], np.uint8)).tolist()
        [[127, 127, 127], [127, 127, 127], [200, 0, 0]]
    """
    total = palette.sum(axis=-1, dtype=np.int64)[..., None]
    towards = np.where(total > PALE, 0, 255)
    middling = (total >= DARK) & (total <= PALE)
    colors: U8 = np.where(middling, palette, (palette.astype(np.int64) + towards) // 2).astype(np.uint8)
    return colors
