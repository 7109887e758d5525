"""WideResNet-38 (Wu et al., Pattern Recognition 2019) with dilated last stages, registered as a timm model.

The network of PSA, SEAM and the papers after them: norms and ReLUs stand before convolutions, the stride is 8. Names of
layers are those of the released networks, so that their weights load as they are.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE, WIDTH = 8, 4096
RELEASED = re.compile(
    r"(?:arg|aux):(?:(?P<single>conv1a|bn7)|(?P<kind>res|bn)(?P<stage>\d)(?:a|b(?P<number>\d))_(?P<branch>branch\w+?))"
    r"_(?:moving_)?(?P<what>weight|gamma|beta|mean|var)"
)
PARTS = {"weight": "weight", "gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
NAME = "wideresnet38"
STAGES = (("b2_2", 128, 2), ("b3_2", 256, 4), ("b4_5", 512, 8), ("b5_2", 1024, 8), ("b6", 2048, 8), ("b7", WIDTH, 8))
default_cfgs = {  # read by timm
    NAME: {"input_size": (3, 224, 224), "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
}
Norm = partial(nn.BatchNorm2d, momentum=3e-4)


class Block(nn.Module):
    """Two 3x3 convolutions, added to their input; a 1x1 shortcut where width or stride changes."""

    def __init__(
        self, channels: int, middle: int, out: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        first, second = dilations
        self.bn_branch2a = Norm(channels)
        self.conv_branch2a = _conv(channels, middle, 3, stride=stride, dilation=first)
        self.bn_branch2b1 = Norm(middle)
        self.conv_branch2b1 = _conv(middle, out, 3, dilation=second)
        same = stride == 1 and channels == out
        self.conv_branch1 = None if same else _conv(channels, out, 1, stride=stride)

    def forward(self, values: Tensor) -> Tensor:
        """Compute the sum; a shortcut without convolution starts from the raw input."""
        active = F.relu(self.bn_branch2a(values))
        branch = self.conv_branch2b1(F.relu(self.bn_branch2b1(self.conv_branch2a(active))))
        return cast("Tensor", branch + (values if self.conv_branch1 is None else self.conv_branch1(active)))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 and 1x1 with dropout of channels, added to a 1x1 shortcut."""

    def __init__(self, channels: int, out: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = Norm(channels)
        self.conv_branch2a = _conv(channels, out // 4, 1)
        self.bn_branch2b1 = Norm(out // 4)
        self.conv_branch2b1 = _conv(out // 4, out // 2, 3, dilation=dilation)
        self.bn_branch2b2 = Norm(out // 2)
        self.conv_branch2b2 = _conv(out // 2, out, 1)
        self.conv_branch1 = _conv(channels, out, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Compute the sum; both branches start from the normed and rectified input."""
        active = F.relu(self.bn_branch2a(values))
        branch = self.conv_branch2a(active)
        branch = self.conv_branch2b1(self.dropout(F.relu(self.bn_branch2b1(branch))))
        branch = self.conv_branch2b2(self.dropout(F.relu(self.bn_branch2b2(branch))))
        return cast("Tensor", branch + self.conv_branch1(active))


class WideResNet38(nn.Module):
    """Features of stride 8 with 4096 channels, after the last norm and ReLU.

    Attributes:
        num_features: Channels of the features.
        pretrained_cfg: Input size and normalisation of the pixels.
        feature_info: Last layer, channels and stride of every stage, as timm writes them.
    """

    num_features = WIDTH
    feature_info: ClassVar[Sequence[Mapping[str, Any]]] = [
        {"module": module, "num_chs": channels, "reduction": stride} for module, channels, stride in STAGES
    ]
    pretrained_cfg: ClassVar[Mapping[str, Any]] = default_cfgs[NAME]

    def __init__(self) -> None:
        super().__init__()
        self.conv1a = _conv(3, 64, 3)
        self.b2 = Block(64, 128, 128, stride=2)
        self.b2_1, self.b2_2 = (Block(128, 128, 128) for _ in range(2))
        self.b3 = Block(128, 256, 256, stride=2)
        self.b3_1, self.b3_2 = (Block(256, 256, 256) for _ in range(2))
        self.b4 = Block(256, 512, 512, stride=2)
        self.b4_1, self.b4_2, self.b4_3, self.b4_4, self.b4_5 = (Block(512, 512, 512) for _ in range(5))
        self.b5 = Block(512, 512, 1024, dilations=(1, 2))
        self.b5_1, self.b5_2 = (Block(1024, 512, 1024, dilations=(2, 2)) for _ in range(2))
        self.b6 = Bottleneck(1024, 2048, dilation=4, dropout=0.3)
        self.b7 = Bottleneck(2048, 4096, dilation=4, dropout=0.5)
        self.bn7 = Norm(WIDTH)

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Compute features B 4096 h w of normalised B 3 H W pixels."""
        return cast("Tensor", self.forward_intermediates(pixels, [])[0])

    def forward_intermediates(
        self,
        pixels: Tensor,
        indices: Sequence[int] | None = None,
        *,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:  # noqa: ANN401 - timm's
        """Compute the same, and the sums B D h w at the end of some stages, before the norm that follows; timm's hook.

        Args:
            pixels: B 3 H W, normalised.
            indices: Stages as in `feature_info`; None takes all.
            output_fmt: Always NCHW.
            intermediates_only: Return the list of the stages alone.
        """
        del output_fmt
        ends = [STAGES[index][0] for index in (range(len(STAGES)) if indices is None else indices)]
        values, found = pixels, []
        for name, layer in self.named_children():
            values = layer(values)
            if name in ends:
                found.append(values)
        return found if intermediates_only else (F.relu(values), found)

    forward = forward_features

    def group_matcher(self, *, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns of the stem and of the stages in order; `coarse` makes no difference."""
        del coarse
        return {"stem": r"^conv1a", "blocks": [(r"^b(\d)", None), (r"^bn7", (99999,))]}


def checkpoint_filter_fn(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of the released `ilsvrc-cls_rna-a1_cls1000_ep-0001.params`; timm's hook for other layouts.

    Examples:
        >>> list(checkpoint_filter_fn({"aux:bn4b5_branch2a_moving_mean": torch.zeros(512)}, model))  # doctest: +SKIP
        ['b4_5.bn_branch2a.running_mean']
    """
    del model
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    found = RELEASED.fullmatch(name)
    if found is None:  # the classifier, or a layout of somebody else
        return name
    stage, number, branch, what = found["stage"], found["number"], found["branch"], PARTS[found["what"]]
    if stage is None:
        return f"{found['single']}.{what}"
    layer = "conv" if found["kind"] == "res" else "bn"
    return f"b{stage}{f'_{number}' if number else ''}.{layer}_{branch}.{what}"


def _conv(channels: int, out: int, side: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (side // 2)
    return nn.Conv2d(channels, out, side, stride=stride, padding=padding, dilation=dilation, bias=False)


@timm.models.register_model
def wideresnet38(pretrained: bool = False, **arguments: Any) -> WideResNet38:  # noqa: FBT001, FBT002, ANN401 - timm's
    """Build the network for `timm.create_model`; weights come from a file."""
    del pretrained
    if arguments.get("output_stride", STRIDE) != STRIDE:
        raise ValueError(f"its stride is {STRIDE}")
    return WideResNet38()
