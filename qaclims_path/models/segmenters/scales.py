"""Multi-scale inputs of a segmenter, as in DeepLabV2: one network sees an image and copies of it at other sizes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.errors import UsageError

LEAST, MOST = 0.1, 2.0


def checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Return the factors of the copies; refuse those that no copy can have.

    Examples:
        >>> checked_scales([0.5, 0.75])
        (0.5, 0.75)
    """
    known = isinstance(scales, Sequence) and not isinstance(scales, str)
    if not known or not all(isinstance(scale, int | float) and LEAST <= scale <= MOST for scale in scales):
        raise UsageError(
            f"The setting 'scales' of a segmenter is {scales!r}, but should list factors between {LEAST} and {MOST}, "
            "such as [0.5, 0.75], or none: []."
        )
    return tuple(map(float, scales))


def multiscale(logits_of: Callable[[Tensor], Tensor], pixels: Tensor, scales: Sequence[float]) -> list[Tensor]:
    """Compute the logits of an image, of each copy at its own size, and the maximum of all at the size of the first.

    Args:
        logits_of: The network, from B 3 H W pixels to B K h w logits.
        pixels: B 3 H W.
        scales: Factors of the copies; without any the logits of the image are the only ones.
    """
    full = logits_of(pixels)
    copies = [logits_of(_resized(pixels, scale)) for scale in scales]
    if not copies:
        return [full]
    size = (int(full.shape[-2]), int(full.shape[-1]))
    enlarged = [F.interpolate(copy, size, mode="bilinear", align_corners=False) for copy in copies]
    return [full, *copies, torch.stack([full, *enlarged]).amax(0)]


def _resized(pixels: Tensor, scale: float) -> Tensor:
    return F.interpolate(pixels, scale_factor=scale, mode="bilinear", align_corners=False)
