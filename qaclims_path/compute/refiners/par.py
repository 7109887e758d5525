"""Pixel-adaptive refinement (Ru et al., AFA, CVPR 2022): align maps to the colours of the image.

In every round a pixel takes the weighted mean of 48 neighbours at six distances. The weight is the similarity of
colour, relative to the spread of colours around the pixel, plus a little for nearness. Here weights add up to one, not
to the published 1.01, so that a constant map does not change and thresholds keep their meaning.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

DILATIONS = (1, 2, 4, 8, 12, 24)
STEPS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
SHARPNESS = 0.3  # width of the weights of colour and of distance, in standard deviations
NEARNESS = 0.01  # weight of distance relative to colour
TINY = 1e-8


def pixel_adaptive(images: Tensor, maps: Tensor, *, rounds: int = 10, dilations: tuple[int, ...] = DILATIONS) -> Tensor:
    """Refine B K H W maps by B 3 H W images in 0..1, on their device.

    A CPU refines one image at a time, so that its maps stay in the cache.

    Examples:
        >>> images, maps = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
        >>> images[..., 2:], maps[..., 3:] = 1.0, 1.0
        >>> pixel_adaptive(images, maps)[0, 0, 0].round(decimals=2).tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    if not maps.shape[1]:
        return maps
    at_once = 1 if images.device.type == "cpu" else max(1, len(images))
    batches = zip(torch.split(images, at_once), torch.split(maps, at_once), strict=True)
    return torch.cat([_refined(image, part, rounds, dilations) for image, part in batches])


def _refined(images: Tensor, maps: Tensor, rounds: int, dilations: tuple[int, ...]) -> Tensor:
    offsets = [(y * d, x * d) for d in dilations for y, x in STEPS]
    weights = _weights(images, offsets)
    for _ in range(rounds):
        padded = _padded(maps, max(dilations))
        maps = torch.zeros_like(maps)
        for k, offset in enumerate(offsets):
            maps.addcmul_(_shifted(padded, offset, maps), weights[:, k : k + 1])
    return maps


def _weights(images: Tensor, offsets: list[tuple[int, int]]) -> Tensor:
    """Return the weights of n neighbours of every pixel: B n H W, with sum one."""
    padded = _padded(images, max(max(offset) for offset in offsets))
    scale = _spread(images, padded, offsets).mul_(SHARPNESS).square_().mul_(-images.shape[1]).reciprocal_()
    alike = images.new_empty(len(images), len(offsets), *images.shape[-2:])
    for k, offset in enumerate(offsets):
        torch.sum((_shifted(padded, offset, images) - images).square_().mul_(scale), dim=1, out=alike[:, k])
    alike.sub_(alike.amax(1, keepdim=True)).exp_()
    distance = torch.tensor(offsets, dtype=images.dtype, device=images.device).norm(dim=1)
    near = -(distance / ((distance.std() + TINY) * SHARPNESS)).square()
    alike.div_(alike.sum(1, keepdim=True)).add_(NEARNESS * near.softmax(0)[:, None, None])
    return alike.div_(1 + NEARNESS)


def _spread(images: Tensor, padded: Tensor, offsets: list[tuple[int, int]]) -> Tensor:
    """Return the standard deviation of a pixel's neighbours in each channel (B 3 H W)."""
    total, squares = torch.zeros_like(images), torch.zeros_like(images)
    for offset in offsets:
        difference = _shifted(padded, offset, images) - images
        total.add_(difference)
        squares.addcmul_(difference, difference)
    count = len(offsets)
    variance = squares.addcmul_(total, total, value=-1 / count).clamp_(min=0).div_(count - 1)
    return variance.sqrt_().add_(TINY)


def _padded(pixels: Tensor, by: int) -> Tensor:
    return F.pad(pixels, (by, by, by, by), mode="replicate")


def _shifted(padded: Tensor, offset: tuple[int, int], like: Tensor) -> Tensor:
    """Return the neighbours at an offset, as a view of the padded pixels."""
    height, width = like.shape[-2:]
    top = (padded.shape[-2] - height) // 2 + offset[0]
    left = (padded.shape[-1] - width) // 2 + offset[1]
    return padded[..., top : top + height, left : left + width]
