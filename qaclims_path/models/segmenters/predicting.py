"""A segmenter at work: fused, fewer bits, several scales and mirror images, pictures of bytes in, probabilities out."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.devices import Precision, dtype_of
from qaclims_path.errors import UsageError
from qaclims_path.models.fusing import TOLERANCE, fused
from qaclims_path.models.segmenters.segmenter import Segmenter

OVERLAP = 0.5
SIZES = (96, 160), (224, 32)  # of the images on which a fused network is compared with its original


class Whole(nn.Module):
    """A network as `fused` wants to see it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward_features(self, pixels: Tensor) -> Tensor:
        """As the network's own `forward`."""
        return cast("Tensor", self.inner(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Likewise."""
        return cast("Tensor", cast("Any", self.inner)(pixels))


def for_inference(segmenter: Segmenter, device: torch.device, precision: Precision = "fp32") -> Segmenter:
    """A copy of a segmenter for inference: fused where that changes nothing, channels last, in a precision.

    Example:
        >>> fast = for_inference(segmenter, torch.device("cpu"), "bf16")  # doctest: +SKIP
    """
    dtype = dtype_of(precision, device)
    fast = deepcopy(segmenter).cpu().float().eval().requires_grad_(requires_grad=False)
    multiple = getattr(fast.network, "multiple", 1)
    fast.network = _fused(fast.network, join=device.type == "cpu")
    setattr(fast.network, "multiple", multiple)  # noqa: B010 - a module's attributes have no types
    fast.network.to(dtype)
    fast.to(device)
    fast.network.to(memory_format=torch.channels_last)
    return fast


class Predictor:
    """Class probabilities of pictures; what whole slides, tiles and single images are labelled with.

    Args:
        segmenter: From `for_inference`.
        scales: Factors at which pictures are looked at; probabilities are averaged.
        flip: Whether their mirror images are looked at, too.
        window: Side of the squares in which larger pictures are looked at, half overlapping; None looks at all at once.

    Example:
        >>> predict = Predictor(for_inference(Segmenter.from_pretrained("run"), torch.device("cpu")))  # doctest: +SKIP
        >>> predict(np.zeros((2, 224, 224, 3), np.uint8)).shape  # doctest: +SKIP
        torch.Size([2, 4, 224, 224])
    """

    def __init__(
        self, segmenter: Segmenter, *, scales: Sequence[float] = (1.0,), flip: bool = False, window: int | None = None
    ) -> None:
        if not scales or min(scales) <= 0:
            raise UsageError("Scales should be numbers above 0, such as 1 or 0.75,1,1.25.")
        self.segmenter, self.scales, self.flip = segmenter, tuple(scales), flip
        self.device = segmenter.mean.device
        self._look = segmenter if window is None else _windows(segmenter, window)

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8]) -> Tensor:
        """B H W 3 bytes to probabilities B K H W, on the segmenter's device."""
        images = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 255
        images = images.contiguous(memory_format=torch.channels_last)
        size = (images.shape[-2], images.shape[-1])
        total = images.new_zeros(())
        for scale in self.scales:
            total = total + _resized(self._both(_scaled(images, scale)), size)
        return total / len(self.scales)

    def _both(self, images: Tensor) -> Tensor:
        """Probabilities of images, and of their mirror images mirrored back."""
        plain = self._look(images).softmax(1)
        return (plain + self._look(images.flip(-1)).softmax(1).flip(-1)) / 2 if self.flip else plain


def _scaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    size = [max(8, round(side * scale)) for side in images.shape[-2:]]
    return F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    return values if values.shape[-2:] == size else F.interpolate(values, size, mode="bilinear", align_corners=False)


def _windows(segmenter: Segmenter, side: int) -> Callable[[Tensor], Tensor]:
    """Look at large images through MONAI's sliding window."""
    slide = SlidingWindowInferer(
        (side, side), sw_batch_size=8, overlap=OVERLAP, mode="gaussian", padding_mode="replicate"
    )

    def look(images: Tensor) -> Tensor:
        small = max(images.shape[-2:]) <= side
        return segmenter(images) if small else cast("Tensor", slide(inputs=images, network=segmenter))

    return look


def _fused(network: nn.Module, *, join: bool) -> nn.Module:
    """The whole network fused, or its encoder, or nothing, whichever can be followed and computes the same."""
    whole = Whole(network)
    slim = fused(whole, join=join)
    if slim is not whole and _same(whole, slim):
        return Whole(cast("nn.Module", slim.inner))
    encoder = network.encoder
    if hasattr(encoder, "forward_features"):
        network.encoder = fused(cast("nn.Module", encoder), join=join)
    return network


def _same(whole: nn.Module, slim: nn.Module) -> bool:
    """Whether both compute the same for images of several sizes: a graph could have kept the size it was made with."""
    chance = torch.Generator().manual_seed(0)
    for size in SIZES:
        pixels = torch.rand(1, 3, *size, generator=chance)
        try:
            old, new = (cast("Any", each).forward_features(pixels) for each in (whole, slim))
        except Exception:  # a graph that only fits one size
            return False
        if (old - new).norm() > TOLERANCE * old.norm():
            return False
    return True
