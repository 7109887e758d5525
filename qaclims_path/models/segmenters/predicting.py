"""Prediction with a segmenter: fused layers, lower precision, several scales, mirror images and sliding windows."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Literal, cast

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.devices import Precision, dtype_of
from qaclims_path.compute.transfer import sent
from qaclims_path.errors import UsageError
from qaclims_path.models.fusing import TOLERANCE, can_fuse_pointwise, fuse
from qaclims_path.models.segmenters.segmenter import Segmenter

Average = Literal["probabilities", "logits"]
OVERLAP = 0.5
SIZES = (96, 160), (224, 32)  # sizes of the images on which the fused network is compared with the original


class NetworkWithFeatures(nn.Module):
    """A network whose `forward_features`, which `fuse` needs, is its forward pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Compute the same as the network's `forward`."""
        return cast("Tensor", self.inner(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the same as the network's `forward`."""
        return cast("Tensor", cast("Any", self.inner)(pixels))


def for_inference(segmenter: Segmenter, device: torch.device, precision: Precision = "fp32") -> Segmenter:
    """Copy a segmenter for inference: fused layers if the output is the same, channels last, in a precision.

    Examples:
        >>> fast = for_inference(segmenter, torch.device("cpu"), "bf16")  # doctest: +SKIP
    """
    dtype = dtype_of(precision, device)
    fast = deepcopy(segmenter).cpu().float().eval().requires_grad_(requires_grad=False)
    multiple = getattr(fast.network, "multiple", 1)
    fast.network = _fuse_network(fast.network, pointwise=can_fuse_pointwise(device, dtype))
    setattr(fast.network, "multiple", multiple)  # noqa: B010 - a module's attributes have no types
    fast.network.to(dtype)
    fast.to(device)
    fast.network.to(memory_format=torch.channels_last)
    return fast


class Predictor:
    """Predicts class probabilities of images, tiles and windows of slides.

    Args:
        segmenter: Segmenter from `for_inference`.
        scales: Factors by which images are scaled; predictions are averaged over them.
        flip: Also average over the mirror images.
        average: What is averaged. `logits` are of images scaled cubically, and enlarged with aligned corners, as
            released with WideResNet-38.
        window: Side of the sliding window, with half overlap, for larger images; None predicts an image at once.

    Examples:
        >>> predict = Predictor(for_inference(Segmenter.from_pretrained("run"), torch.device("cpu")))  # doctest: +SKIP
        >>> predict(np.zeros((2, 224, 224, 3), np.uint8)).shape  # doctest: +SKIP
        torch.Size([2, 4, 224, 224])
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        average: Average = "probabilities",
        window: int | None = None,
    ) -> None:
        if not scales or min(scales) <= 0:
            raise UsageError("Scales must be numbers above 0, such as 1 or 0.75,1,1.25.")
        self.segmenter, self.scales, self.flip, self.average = segmenter, tuple(scales), flip, average
        self.device = segmenter.mean.device
        self._logits = segmenter if window is None else _windowed(segmenter, window)

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Predict probabilities B K H W, on the segmenter's device, of B H W 3 bytes."""
        images = sent(pictures, self.device).permute(0, 3, 1, 2).float() / 255
        images = images.contiguous(memory_format=torch.channels_last)
        size = (images.shape[-2], images.shape[-1])
        logits = self.average == "logits"
        total = images.new_zeros(())
        for scale in self.scales:
            found = self._predicted(scaled(images, scale, cubic=logits))
            total = total + _resized(found, size, align_corners=logits)
        mean = total / len(self.scales)
        return mean.softmax(1) if logits else mean

    def _predicted(self, images: Tensor) -> Tensor:
        """Return what is averaged, over the mirror images too if `flip` is set."""
        plain = self._averaged(images)
        return (plain + self._averaged(images.flip(-1)).flip(-1)) / 2 if self.flip else plain

    def _averaged(self, images: Tensor) -> Tensor:
        logits = self._logits(images)
        return logits if self.average == "logits" else logits.softmax(1)


def scaled(images: Tensor, scale: float, *, cubic: bool) -> Tensor:
    """Scale images, without smoothing and without limits to their values where `cubic`, as OpenCV does."""
    if scale == 1:
        return images
    size = [max(8, round(side * scale)) for side in images.shape[-2:]]
    if cubic:
        return F.interpolate(images, size, mode="bicubic", align_corners=False)
    return F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)


def _resized(values: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values, size, mode="bilinear", align_corners=align_corners)


def _windowed(segmenter: Segmenter, side: int) -> Callable[[Tensor], Tensor]:
    """Segmenter that predicts larger images with MONAI's sliding window."""
    inferer = SlidingWindowInferer(
        (side, side), sw_batch_size=8, overlap=OVERLAP, mode="gaussian", padding_mode="replicate"
    )

    def logits(images: Tensor) -> Tensor:
        small = max(images.shape[-2:]) <= side
        return segmenter(images) if small else cast("Tensor", inferer(inputs=images, network=segmenter))

    return logits


def _fuse_network(network: nn.Module, *, pointwise: bool) -> nn.Module:
    """Fuse the whole network; if it cannot be traced or would compute something else, only its encoder."""
    original = NetworkWithFeatures(network)
    fused = fuse(original, pointwise=pointwise)
    if fused is not original and _equal(original, fused):
        return NetworkWithFeatures(cast("nn.Module", fused.inner))
    encoder = network.encoder
    if hasattr(encoder, "forward_features"):
        network.encoder = fuse(cast("nn.Module", encoder), pointwise=pointwise)
    return network


def _equal(original: nn.Module, fused: nn.Module) -> bool:
    """Return whether both compute the same for images of several sizes: a traced graph may depend on a size."""
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        pixels = torch.rand(1, 3, *size, generator=generator)
        try:
            before, after = (cast("Any", each).forward_features(pixels) for each in (original, fused))
        except Exception:  # the graph fits only one size
            return False
        if (before - after).norm() > TOLERANCE * before.norm():
            return False
    return True
