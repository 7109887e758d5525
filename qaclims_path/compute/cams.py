"""Maps of several scales become one, exactly as the published code merges them, for the classes that are asked for."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1.0, 0.5, 1.5, 2.0)
STRIDE = 4
GRID = 16  # pixels per cell of the published network; full-size maps are made on whole cells and cut
EPSILON = 1e-5


def strided_size(height: int, width: int, stride: int = STRIDE) -> tuple[int, int]:
    """Size of a map that has a value for every `stride` pixels, the first pixel included.

    Example:
        >>> strided_size(75, 101)
        (19, 26)
    """
    return (height - 1) // stride + 1, (width - 1) // stride + 1


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Size of an image at a scale, rounded as published (halves to even).

    Example:
        >>> scaled_size(375, 501, 0.5)
        (188, 250)
    """
    return max(1, round(height * scale)), max(1, round(width * scale))


def fold_flip(maps: Tensor) -> Tensor:
    """Add the maps of mirrored images, turned back, to those of the images.

    Args:
        maps: 2B C h w, of B images and then of the same images mirrored.

    Returns:
        B C h w.
    """
    plain, mirrored = maps.chunk(2)
    return plain + mirrored.flip(-1)


def merge_scales(maps: Sequence[Tensor], height: int, width: int, stride: int = STRIDE) -> Tensor:
    """Sum maps of several scales at one size.

    Only rows that are kept should be given: interpolating costs more than choosing.

    Args:
        maps: One tensor P h w for each scale; h and w differ.
        height: Of the images at scale 1.
        width: Likewise.
        stride: Pixels per value of the result; 1 for full size.

    Returns:
        P H' W', with the size of `strided_size`.
    """
    rows, columns = strided_size(height, width, stride)
    size = (rows, columns) if stride > 1 else tuple(GRID * cells for cells in strided_size(height, width, GRID))
    total = _resized(maps[0], size)
    for scale in maps[1:]:
        total = total + _resized(scale, size)
    return total[:, :rows, :columns]


def by_own_maximum(maps: Tensor) -> Tensor:
    """Divide every map (P H W, not negative) by its maximum, as published: the strongest place of each is nearly 1."""
    return maps / (maps.amax((-2, -1), keepdim=True) + EPSILON)


def merged(
    logits: Sequence[Tensor], pairs: tuple[Tensor, Tensor], size: tuple[int, int], *, own_maximum: bool
) -> Tensor:
    """Maps of (image, class) pairs from the logits of all scales, flips included.

    Args:
        logits: For each scale 2B C h w, of B images and then of the same images mirrored.
        pairs: P indices of images, and P of classes.
        size: Height and width of the images at scale 1.
        own_maximum: Whether values are as published, positive logits divided by the maximum of their map, which only
            makes sense for classes that are present; else they are mean probabilities, which can be compared between
            classes.

    Returns:
        P H' W' in 0..1 at stride 4.
    """
    chosen = []
    for scale in logits:
        image, label = pairs
        both = torch.stack([scale[image, label], scale[image + len(scale) // 2, label]]).flatten(0, 1).float()
        chosen.append(fold_flip(both.relu() if own_maximum else both.sigmoid()))
    total = merge_scales(chosen, *size)
    return by_own_maximum(total) if own_maximum else total / (2 * len(logits))


def image_probabilities(logits: Tensor) -> Tensor:
    """Probability of every class for B images, from maps (2B C h w) of images and their mirrored twins: B C.

    It is the sigmoid of the mean logit: what a network trained as a classifier says of the image.
    """
    plain, mirrored = logits.float().mean((-2, -1)).chunk(2)
    return ((plain + mirrored) / 2).sigmoid()


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps[:, None], list(size), mode="bilinear", align_corners=False)[:, 0]
