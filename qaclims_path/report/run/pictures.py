"""Images of a run's page under maps, masks and doubt, at one size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute import painting
from qaclims_path.compute.resize import resize_bilinear, resize_nearest

SIDE = 448  # pixels of the longer side
LARGEST = 2.0  # how much smaller images are enlarged, at most, so that outlines stay thin beside nuclei
U8 = NDArray[np.uint8]


def fitted(pixels: U8) -> U8:
    """Resize an image (H W 3) so that its longer side is `SIDE`; it grows to `LARGEST` times its size at most."""
    scale = min(LARGEST, SIDE / max(pixels.shape))
    height, width = (max(1, round(scale * side)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def painted_labels(picture: U8, labels: U8, palette: U8, hidden: Sequence[int] = ()) -> U8:
    """Paint label indices h w of any size over an image from `fitted`; see `compute.painting.painted`."""
    return painting.painted(picture, resize_nearest(labels, *picture.shape[:2]), palette, hidden)


def painted_maps(picture: U8, maps: NDArray[np.floating], classes: Sequence[int], palette: U8) -> U8:
    """Paint maps K h w of any size over an image from `fitted`; see `compute.painting.painted_maps`."""
    large = resize_bilinear(maps.astype(np.float32), *picture.shape[:2])
    return painting.painted_maps(picture, large, classes, palette)


def painted_doubt(picture: U8, confidence: NDArray[np.floating], classes: int) -> U8:
    """Cover an image from `fitted` where a confidence h w in 0..1 is low; see `compute.painting.doubtful`."""
    large = resize_bilinear(confidence[None].astype(np.float32), *picture.shape[:2])[0]
    return painting.doubtful(picture, large, classes)
