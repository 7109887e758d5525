"""ResNet as Caffe and DeepLabV2 have it (deeplab-pytorch), registered as the timm model `resnet101_caffe`.

It differs from other ResNets: the stride of a block is at its first 1x1 convolution, the maximum after the stem rounds
sizes up, the last two stages are dilated instead of strided, and pixels are blue green red, 0..255. Names of layers are
the released ones, so that their weights load as they are.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import timm
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8
BLOCKS = 3, 4, 23, 3  # per stage, of ResNet-101
STAGES = (256, 1, 1), (512, 2, 1), (1024, 1, 2), (2048, 1, 4)  # channels, stride, dilation
MEAN = 122.675, 116.669, 104.008  # red green blue, 0..255
NAME = "resnet101_caffe"
default_cfgs = {  # read by timm
    NAME: {"input_size": (3, 321, 321), "mean": tuple(value / 255 for value in MEAN), "std": (1 / 255,) * 3}
}


class ConvNorm(nn.Sequential):
    """A convolution without bias, and its norm."""

    def __init__(
        self, channels: int, out: int, side: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> None:
        convolution = nn.Conv2d(channels, out, side, stride, padding, dilation, bias=False)
        super().__init__(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(out, momentum=1e-3)))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 and 1x1, added to the input or to a 1x1 shortcut."""

    def __init__(self, channels: int, out: int, *, stride: int, dilation: int, shortcut: bool) -> None:
        super().__init__()
        middle = out // 4
        self.reduce = ConvNorm(channels, middle, 1, stride=stride)
        self.conv3x3 = ConvNorm(middle, middle, 3, padding=dilation, dilation=dilation)
        self.increase = ConvNorm(middle, out, 1)
        self.shortcut = ConvNorm(channels, out, 1, stride=stride) if shortcut else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """Compute the rectified sum."""
        branch = self.increase(F.relu(self.conv3x3(F.relu(self.reduce(values)))))
        return F.relu(branch + self.shortcut(values))


class CaffeResNet(nn.Module):
    """Features of stride 8 with 2048 channels.

    Attributes:
        num_features: Channels of the features.
        pretrained_cfg: Input size and normalisation: pixels are not divided by their deviation.
    """

    num_features = STAGES[-1][0]
    pretrained_cfg: ClassVar[Mapping[str, Any]] = default_cfgs[NAME]

    def __init__(self, blocks: Sequence[int] = BLOCKS) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(
            OrderedDict(
                conv1=ConvNorm(3, 64, 7, stride=2, padding=3),
                relu=nn.ReLU(),
                pool=nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            )
        )
        channels = 64
        for number, (count, (out, stride, dilation)) in enumerate(zip(blocks, STAGES, strict=True), start=2):
            stage = OrderedDict[str, nn.Module]()
            for block in range(count):
                first = block == 0
                stage[f"block{block + 1}"] = Bottleneck(
                    channels, out, stride=stride if first else 1, dilation=dilation, shortcut=first
                )
                channels = out
            self.add_module(f"layer{number}", nn.Sequential(stage))

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Compute features B 2048 h w of normalised B 3 H W pixels, red green blue."""
        values = pixels.flip(1)  # blue green red
        for layer in self.children():
            values = layer(values)
        return values

    forward = forward_features

    def group_matcher(self, *, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns of the stem and of the stages in order; `coarse` makes no difference."""
        del coarse
        return {"stem": r"^layer1", "blocks": r"^layer(\d)"}


@timm.models.register_model
def resnet101_caffe(pretrained: bool = False, **arguments: Any) -> CaffeResNet:  # noqa: FBT001, FBT002, ANN401 - timm's
    """Build the network for `timm.create_model`; weights come from a file, `blocks` makes it smaller."""
    del pretrained
    if arguments.get("output_stride", STRIDE) != STRIDE:
        raise ValueError(f"its stride is {STRIDE}")
    return CaffeResNet(arguments.get("blocks", BLOCKS))
