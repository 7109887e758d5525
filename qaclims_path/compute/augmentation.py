"""Augmentation of a whole batch on its device: one row of numbers per image, no loop over images, no wait.

An image differs from its source by flips, right-angle turns, a zoom and a crop. These are one bilinear sampling whose
coordinates are linear in the output's rows and columns. Colour, blur and noise follow.

Why not a library: kornia and torchvision v2 draw their numbers for the batch on the device, so an image's numbers would
depend on its neighbours and on how many processes share a batch; torchvision's flips, turns and zooms are one choice
per call; MONAI's array transforms take one image per call, on a GPU some 20 launches each. Either would be one more
dependency or a loop over images in place of the 90 lines below.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

NUMBERS = 25  # per image, without those of `change_hsv`
TAIL = 4  # largest distance in pixels that blur reaches
FIELD = 2**21  # fewest numbers of a noise field
EXACT = 2**24  # integers below are exact in float32


class Changes(NamedTuple):
    """The numbers of B images, by meaning.

    Attributes:
        axes: B 2 5, for rows and columns of the source: the coordinate that output index `o` shows is
            `clamp(o * scale + offset, 0, high) * sign + shift`.
        inside: B 2 2, first output row and column that shows the image, and the first after it.
        turned: B, 1 where the source's rows run along the output's columns.
        fill: B 3, colour of output pixels that do not show the image, in 0..1.
        powers: B 3, the power that each colour channel is raised to.
        sigmas: B 2, standard deviations of the blur along rows and columns, in pixels.
        noise: B 2, standard deviation of the noise, and where in the field it starts.
        hsv: B 3, what is added to hue, saturation and value; B 0 where nothing is.
    """

    axes: Tensor
    inside: Tensor
    turned: Tensor
    fill: Tensor
    powers: Tensor
    sigmas: Tensor
    noise: Tensor
    hsv: Tensor


def changes(numbers: Tensor) -> Changes:
    """Split B x 25 numbers, or B x 28 with those of `change_hsv`, by meaning."""
    parts = [10, 4, 1, 3, 3, 2, 2, numbers.shape[1] - NUMBERS]
    axes, inside, turned, *others = torch.split(numbers, parts, dim=1)
    return Changes(axes.reshape(-1, 2, 5), inside.reshape(-1, 2, 2), turned[:, 0], *others)


def resample(windows: Tensor, axes: Tensor, turned: Tensor, size: int) -> Tensor:
    """Sample B 3 S S bytes as floats, bilinearly, from windows of the sources (B 3 H W bytes)."""
    steps = torch.arange(size, device=windows.device)
    scale, offset, high, sign, shift = axes[..., None].unbind(2)  # each B 2 1
    along = (steps * scale + offset).clamp(min=0).minimum(high) * sign + shift
    y, x = ((2 * along[:, axis] + 1) / windows.shape[axis - 2] - 1 for axis in (0, 1))  # -1 and 1 are the borders
    is_turned = turned[:, None, None] > 0
    rows = torch.where(is_turned, y[:, None, :], y[:, :, None])
    columns = torch.where(is_turned, x[:, :, None], x[:, None, :])
    grid = torch.stack([columns, rows], dim=-1)
    return F.grid_sample(windows.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def fill_outside(images: Tensor, inside: Tensor, fill: Tensor) -> Tensor:
    """Give the pixels of B 3 S S images that lie outside a box (B 2 2) one colour (B 3)."""
    steps = torch.arange(images.shape[-1], device=images.device)
    shown = (steps >= inside[..., :1]) & (steps < inside[..., 1:])  # B 2 S
    box = shown[:, 0, :, None] & shown[:, 1, None, :]
    return torch.where(box[:, None], images, fill[:, :, None, None])


def change_colours(images: Tensor, powers: Tensor) -> Tensor:
    """Raise each channel of B 3 H W images in 0..1 to a power (B 3), in place.

    That scales absorbance, as different stains do, and keeps white white. Powers through logarithms take a third of the
    time of `pow` on a CPU.
    """
    return images.log_().mul_(powers[:, :, None, None]).exp_()


def change_hsv(images: Tensor, added: Tensor) -> Tensor:
    """Add to hue, saturation and value (B 3) of B 3 H W images in 0..1.

    Hue is in 0..1 and goes round; saturation and value stop at 0 and 1. Grey pixels have the hue 0, which is red.
    """
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    spread = value - least
    safe = torch.where(spread > 0, spread, 1)
    hue = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    hue = torch.where(value == red, (green - blue) / safe, hue)
    more_hue, more_saturation, more_value = added[..., None, None].unbind(1)
    hue = torch.where(spread > 0, hue, 0) + 6 * more_hue
    saturation = (spread / torch.where(value > 0, value, 1) + more_saturation).clamp(0, 1)
    value = (value + more_value).clamp(0, 1)
    at = torch.stack([hue + 5, hue + 3, hue + 1], dim=1) % 6  # of red, green and blue
    share = torch.minimum(at, 4 - at).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * share)


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur B 3 H W images with Gaussians of up to one pixel along rows and columns (B 2); beyond an image is black."""
    taps = torch.arange(-TAIL, TAIL + 1, device=images.device)
    spread = 0.5**0.5 / sigmas[..., None]
    kernels = (((taps + 0.5) * spread).erf() - ((taps - 0.5) * spread).erf()) / 2  # B 2 9
    for axis, margin in ((0, (0, 0, TAIL, TAIL)), (1, (TAIL, TAIL, 0, 0))):
        dim = axis - 2
        length, padded = images.shape[dim], F.pad(images, margin)
        weights = kernels[:, axis, :, None, None, None].unbind(1)
        images = sum(
            (padded.narrow(dim, tap, length) * weight for tap, weight in enumerate(weights)), torch.zeros_like(images)
        )
    return images


def noise_field(size: int) -> Tensor:
    """Draw the normal numbers that the noise of every image of `size` x `size` pixels is read from.

    The field is always the same, on the CPU's generator, so that noise is equal on every device.
    """
    return torch.randn(max(FIELD, 12 * size**2), generator=torch.Generator().manual_seed(0))


def noise_starts(size: int) -> int:
    """Return the number of pixels in a noise field where the noise of an image may start."""
    return min(EXACT, max(FIELD, 12 * size**2) - 3 * size**2 + 1)


def noise_at(field: Tensor, noise: Tensor, size: int) -> Tensor:
    """Read the noise of B images (B 3 S S) from a field, given strength and first pixel (B 2)."""
    found = field.unfold(0, 3 * size**2, 1)[noise[:, 1].long()]
    return found.view(-1, 3, size, size) * noise[:, :1, None, None]
