"""DeepLabV1 (Chen et al., ICLR 2015) with the head that papers after SEAM put on WideResNet-38."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.models.backbones import convolutional
from qaclims_path.models.names import BackboneSpec
from qaclims_path.models.segmenters import SEGMENTERS
from qaclims_path.models.segmenters.scales import checked_scales, multiscale

MOMENTUM = 3e-4  # of the norms, as released


class DeepLabV1(nn.Module):
    """One dilated convolution with a large field of view, and a 1x1 convolution, on features of stride 8.

    Attributes:
        encoder: A convolutional timm model.
        head: From features to logits of the features' size.
        scales: Factors of the copies, see `multiscale`: none as released, 0.5 and 0.75 in CLIMS and QA-CLIMS.
    """

    def __init__(
        self,
        encoder: BackboneSpec,
        channels: int,
        *,
        stride: int = 8,
        width: int = 512,
        rate: int = 12,
        scales: Sequence[float] = (),
    ) -> None:
        super().__init__()
        backbone = convolutional(encoder, stride, "DeepLabV1")
        self.encoder: nn.Module = backbone.model
        self.head = nn.Sequential(
            nn.Conv2d(backbone.width, width, 3, padding=rate, dilation=rate, bias=False),
            nn.BatchNorm2d(width, momentum=MOMENTUM),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width, momentum=MOMENTUM),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(width, channels, 1),
        )
        for module in self.head:
            if isinstance(module, nn.Conv2d):  # as released
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.scales = checked_scales(scales)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits B K H W of B 3 H W pixels, the maximum over all scales."""
        return self.training_logits(pixels)[-1]

    def training_logits(self, pixels: Tensor) -> list[Tensor]:
        """Logits of the image, of each copy at its own size, and their maximum; training uses each of them."""
        return multiscale(self._logits, pixels, self.scales)

    def _logits(self, pixels: Tensor) -> Tensor:
        """Logits B K H W of B 3 H W pixels, enlarged with aligned corners as released."""
        logits = self.head(cast("Any", self.encoder).forward_features(pixels))
        return F.interpolate(logits, pixels.shape[-2:], mode="bilinear", align_corners=True)


@SEGMENTERS.add("deeplabv1")
def deeplabv1(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - checked by the class
    """Build DeepLabV1; settings are `stride`, `width`, `rate` and `scales`."""
    return DeepLabV1(encoder, channels, **settings)
