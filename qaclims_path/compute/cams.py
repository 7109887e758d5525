"""Merge activation maps of several scales as the published code does, for chosen classes only."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 4
GRID = 16  # pixels per cell of the published network; full-size maps are made on complete cells, then cropped
EPSILON = 1e-5


def strided_size(height: int, width: int, stride: int = STRIDE) -> tuple[int, int]:
    """Return the size of a map that has a value for every `stride` pixels, beginning with the first.

    Examples:
        >>> strided_size(75, 101)
        (19, 26)
    """
    return (height - 1) // stride + 1, (width - 1) // stride + 1


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return the size of an image at a scale, rounded as published (halves to even).

    Examples:
        >>> scaled_size(375, 501, 0.5)
        (188, 250)
    """
    return max(1, round(height * scale)), max(1, round(width * scale))


def fold_flip(maps: Tensor) -> Tensor:
    """Mirror the maps of mirrored images back, and add them to the maps of the images.

    Args:
        maps: 2B C h w: B images, then the same images mirrored.

    Returns:
        B C h w.
    """
    plain, mirrored = maps.chunk(2)
    return plain + mirrored.flip(-1)


def merge_scales(maps: Sequence[Tensor], height: int, width: int, stride: int = STRIDE) -> Tensor:
    """Sum maps of several scales at one size.

    Select the rows first: interpolating costs more than selecting.

    Args:
        maps: One tensor P h w for each scale; h and w differ.
        height: Height of the images at scale 1, in pixels.
        width: Width of the images at scale 1, in pixels.
        stride: Pixels per value of the result; 1 for full size.

    Returns:
        P H' W', the size that `strided_size` gives.
    """
    rows, columns = strided_size(height, width, stride)
    size = (rows, columns) if stride > 1 else tuple(GRID * cells for cells in strided_size(height, width, GRID))
    total = _resized(maps[0], size)
    for scale in maps[1:]:
        total = total + _resized(scale, size)
    return total[:, :rows, :columns]


def by_own_maximum(maps: Tensor) -> Tensor:
    """Divide every map (P H W, not negative) by its maximum, as published: the highest value of each is nearly 1."""
    return maps / (maps.amax((-2, -1), keepdim=True) + EPSILON)


def high_resolution(scales: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Merge maps P h w of several scales at full size, as the released code scores them (`high_res`).

    Every map is enlarged from the network's cells at once, not by way of every fourth pixel.

    Returns:
        P `height` `width`, each divided by its maximum.
    """
    return by_own_maximum(merge_scales(scales, height, width, stride=1))


def chosen_maps(logits: Sequence[Tensor], pairs: tuple[Tensor, Tensor], *, own_maximum: bool) -> list[Tensor]:
    """Return the maps of (image, class) pairs at every scale, with those of mirrored images folded in; see `merged`."""
    image, label = pairs
    chosen = []
    for scale in logits:
        both = torch.stack([scale[image, label], scale[image + len(scale) // 2, label]]).flatten(0, 1).float()
        chosen.append(fold_flip(both.relu() if own_maximum else both.sigmoid()))
    return chosen


def merged(
    logits: Sequence[Tensor], pairs: tuple[Tensor, Tensor], size: tuple[int, int], *, own_maximum: bool
) -> Tensor:
    """Merge the logits of all scales and of mirrored images to maps of (image, class) pairs.

    Args:
        logits: One tensor 2B C h w per scale: B images, then the same images mirrored.
        pairs: P indices of images, and P of classes.
        size: Height and width of the images at scale 1.
        own_maximum: Divide positive logits by the maximum of their map, as published, which makes sense only for
            classes that are present. Otherwise values are mean probabilities, which are comparable between classes.

    Returns:
        P H' W' in 0..1 at stride 4.
    """
    return at_stride(chosen_maps(logits, pairs, own_maximum=own_maximum), size, own_maximum=own_maximum)


def at_stride(chosen: Sequence[Tensor], size: tuple[int, int], *, own_maximum: bool) -> Tensor:
    """Merge the maps that `chosen_maps` returns to P H' W' in 0..1 at stride 4; see `merged`."""
    total = merge_scales(chosen, *size)
    return by_own_maximum(total) if own_maximum else total / (2 * len(chosen))


def image_probabilities(logits: Tensor) -> Tensor:
    """Return the probability of every class (B C) from logits (2B C h w) of B images, then of the same images mirrored.

    It is the sigmoid of the mean logit, the output of the network as a classifier.
    """
    plain, mirrored = logits.float().mean((-2, -1)).chunk(2)
    return ((plain + mirrored) / 2).sigmoid()


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps[:, None], list(size), mode="bilinear", align_corners=False)[:, 0]
