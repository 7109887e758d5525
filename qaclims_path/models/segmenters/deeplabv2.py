"""DeepLabV2 (Chen et al., TPAMI 2018) as the papers train it: dilated ResNet, atrous pyramid, several input scales."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import UsageError
from qaclims_path.models.backbones import Backbone, BackboneSpec
from qaclims_path.models.segmenters import SEGMENTERS

RATES = 6, 12, 18, 24
SCALES = 0.5, 0.75
SPREAD = 0.01  # standard deviation of new weights, as published


class DeepLabV2(nn.Module):
    """The sum of four dilated convolutions on features of stride 8, at full size and at smaller scales.

    Attributes:
        encoder: A convolutional timm model.
        pyramid: One convolution per rate.
        scales: At which the image is looked at beside its full size; of all results the highest counts.
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
        backbone = Backbone(encoder, stride=stride)
        if hasattr(backbone.model, "patch_embed"):  # tokens, or channels that come last
            raise UsageError(f"DeepLabV2 needs a convolutional encoder, which '{encoder.source}' is not.")
        self.encoder: nn.Module = backbone.model
        self.pyramid = nn.ModuleList(
            nn.Conv2d(backbone.width, channels, 3, padding=rate, dilation=rate) for rate in rates
        )
        for convolution in self.pyramid:
            nn.init.normal_(cast("Tensor", convolution.weight), std=SPREAD)
            nn.init.zeros_(cast("Tensor", convolution.bias))
        self.scales = tuple(scales)

    def forward(self, pixels: Tensor) -> Tensor:
        """B 3 H W to logits B K h w: the highest over all scales."""
        return self.training_logits(pixels)[-1]

    def training_logits(self, pixels: Tensor) -> list[Tensor]:
        """Logits at full size, at each scale, and the highest of them; all of one size, all are trained."""
        whole = self._logits(pixels)
        size = (int(whole.shape[-2]), int(whole.shape[-1]))
        smaller = [
            F.interpolate(self._logits(_scaled(pixels, scale)), size, mode="bilinear", align_corners=False)
            for scale in self.scales
        ]
        every = [whole, *smaller]
        return [*every, torch.stack(every).amax(0)] if smaller else every

    def _logits(self, pixels: Tensor) -> Tensor:
        features = cast("Any", self.encoder).forward_features(pixels)
        return torch.stack([convolution(features) for convolution in self.pyramid]).sum(0)


@SEGMENTERS.add("deeplabv2")
def deeplabv2(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - checked by the class
    """DeepLabV2 with `stride`, `rates` and `scales`."""
    return DeepLabV2(encoder, channels, **settings)


def _scaled(pixels: Tensor, scale: float) -> Tensor:
    return F.interpolate(pixels, scale_factor=scale, mode="bilinear", align_corners=False)
