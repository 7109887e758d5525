"""DeepLabV2 (Chen et al., TPAMI 2018) as in the papers: dilated ResNet, atrous spatial pyramid, multi-scale inputs."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from qaclims_path.models.backbones import convolutional
from qaclims_path.models.names import BackboneSpec
from qaclims_path.models.segmenters import SEGMENTERS
from qaclims_path.models.segmenters.scales import checked_scales, multiscale

RATES = 6, 12, 18, 24
SCALES = 0.5, 0.75
INITIAL_STD = 0.01  # standard deviation of new weights, as published


class DeepLabV2(nn.Module):
    """The sum of four dilated convolutions on features of stride 8, for the full-size image and smaller copies.

    Attributes:
        encoder: A convolutional timm model.
        pyramid: One convolution per dilation rate.
        scales: Factors of the copies, see `multiscale`; the prediction is the maximum over all sizes.
    """

    def __init__(
        self,
        encoder: BackboneSpec,
        channels: int,
        *,
        stride: int = 8,
        rates: Sequence[int] = RATES,
        scales: Sequence[float] = SCALES,
    ) -> None:
        super().__init__()
        backbone = convolutional(encoder, stride, "DeepLabV2")
        self.encoder: nn.Module = backbone.model
        self.pyramid = nn.ModuleList(
            nn.Conv2d(backbone.width, channels, 3, padding=rate, dilation=rate) for rate in rates
        )
        for convolution in self.pyramid:
            nn.init.normal_(cast("Tensor", convolution.weight), std=INITIAL_STD)
            nn.init.zeros_(cast("Tensor", convolution.bias))
        self.scales = checked_scales(scales)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits B K h w of B 3 H W pixels, the maximum over all scales."""
        return self.training_logits(pixels)[-1]

    def training_logits(self, pixels: Tensor) -> list[Tensor]:
        """Logits of the image, of each copy at its own size, and their maximum; training uses each of them."""
        return multiscale(self._logits, pixels, self.scales)

    def _logits(self, pixels: Tensor) -> Tensor:
        features = cast("Any", self.encoder).forward_features(pixels)
        return torch.stack([convolution(features) for convolution in self.pyramid]).sum(0)


@SEGMENTERS.add("deeplabv2")
def deeplabv2(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - checked by the class
    """Build DeepLabV2; settings are `stride`, `rates` and `scales`."""
    return DeepLabV2(encoder, channels, **settings)
