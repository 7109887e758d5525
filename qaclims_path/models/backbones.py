"""Use any timm model as a backbone: turn pixels in 0..1 into a feature map."""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import HUB, LOCAL, model_name, resolve
from qaclims_path.models import cafferesnet, wideresnet  # noqa: F401 - they register their networks in timm
from qaclims_path.models.names import BackboneSpec, split_revision

SETTINGS = "config.json"
FOREIGN_ARGUMENT = "unexpected keyword argument"


def find_backbone(name: str) -> BackboneSpec:
    """Find a backbone: a timm name, `hf-hub:owner/name[@revision]`, or `local-dir:PATH` with a timm `config.json`.

    Examples:
        >>> find_backbone("resnet50").architecture
        'resnet50'
    """
    if not name.startswith((HUB, LOCAL)):
        if timm.is_model(name.split(".", maxsplit=1)[0]):
            return BackboneSpec(name, name)
        similar = get_close_matches(name, timm.list_models(), n=3)
        hint = f" Did you mean {', '.join(similar)}?" if similar else ""
        raise UsageError(f"timm has no backbone '{name}'.{hint} For a model on the hub, write hf-hub:owner/name.")
    model, revision = split_revision(name)
    path = resolve(model, revision=revision, files=("*.json",)) / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        architecture = settings["architecture"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{name} has no {SETTINGS} with a timm `architecture`, so it cannot be a backbone. Use a version of the "
            "model in timm's format."
        ) from error
    if not timm.is_model(str(architecture).split(".", maxsplit=1)[0]):
        raise BadFile(f"{name} has the architecture '{architecture}', which timm {timm.__version__} does not know.")
    pixels = settings.get("pretrained_cfg", settings)
    mean, std = (tuple(pixels[key]) if key in pixels else None for key in ("mean", "std"))
    return BackboneSpec(model_name(model), architecture, settings.get("model_args") or {}, mean, std)


class Stage(NamedTuple):
    """Features at one depth of a model.

    Attributes:
        channels: Number of channels.
        stride: Pixels per cell.
    """

    channels: int
    stride: int


class Backbone(nn.Module):
    """A timm model without its classifier, with the normalisation of its pixels.

    Convolutional backbones are dilated to an output stride. Transformers give their patch tokens as a map, without
    class and register tokens; images of any size are scaled to a multiple of the patch size.

    Attributes:
        spec: Architecture and settings of the model.
        width: Channels of the feature map.
        stride: Pixels per cell of the feature map.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, *, stride: int = 16, dilated: bool = True) -> None:
        """Build the model with random weights.

        Args:
            spec: Backbone to build.
            stride: 8, 16 or 32 for a convolutional backbone; the stride of a transformer is its patch size.
            dilated: Dilate the convolutions of stages whose stride is removed. The published ResNet-50 has no dilation.
        """
        super().__init__()
        self.spec = spec
        self.model = build(spec, stride)
        self._prefix = int(getattr(self.model, "num_prefix_tokens", 0))
        self._patch = _patch_size(self.model)
        self._channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        self.width = int(self.model.num_features)
        self.stride = self._patch or _stride(self.model)
        if not self._patch and self.stride != stride:
            raise UsageError(
                f"The backbone '{spec.source}' has the stride {self.stride}, which cannot be changed to {stride}. "
                f"Set the stride to {self.stride}, or choose a ResNet, ConvNeXt, MobileNetV2 or ViT."
            )
        if not dilated:
            _undilate(self.model)
        pixels = self.model.pretrained_cfg
        for name, value in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(value or pixels[name]).view(3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise B 3 H W images in 0..1 with the backbone's mean and standard deviation."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Compute features B D h w of B 3 H W images in 0..1, in the precision of the weights."""
        return self.with_stages(images, ())[0]

    def with_stages(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Compute the features that `forward` computes, and those of some stages, shallow ones first.

        Args:
            images: B 3 H W in 0..1.
            stages: Stages by their index in `stages_of`, in ascending order.
        """
        pixels = self.normalise(images).to(next(self.model.parameters()).dtype)
        height, width = (max(1, round(side / self._patch)) if self._patch else side for side in images.shape[-2:])
        if self._patch and (size := (height * self._patch, width * self._patch)) != tuple(pixels.shape[-2:]):
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        features, found = with_stages(self.model, pixels, stages)
        if self._patch:
            tokens: Any = features[:, self._prefix :].transpose(1, 2)
            features = tokens.unflatten(2, (height, width))
        return (features.permute(0, 3, 1, 2) if self._channels_last else features), found

    def stem_parameters(self) -> list[nn.Parameter]:
        """Parameters before the first stage: first convolution and norm of a ResNet, patch embedding of a ViT."""
        groups = group_parameters(self.model, self.model.group_matcher(coarse=True))
        names = set(groups[min(groups)])
        return [parameter for name, parameter in self.model.named_parameters() if name in names]


def stages_of(model: nn.Module) -> list[Stage]:
    """List the stages whose features a timm model returns, shallow ones first; none for a model that returns none.

    They are the features of a convolutional network at each of its strides, and the blocks of a plain transformer.
    """
    known = getattr(model, "feature_info", None) if hasattr(model, "forward_intermediates") else None
    return [Stage(int(each["num_chs"]), int(each["reduction"])) for each in known or ()]


def with_stages(model: nn.Module, pixels: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Compute the last features of a timm model, and those of some stages (B D h w each), in ascending order."""
    run: Any = model
    if not stages:
        return run.forward_features(pixels), []
    last, found = run.forward_intermediates(pixels, indices=[*stages], output_fmt="NCHW")
    return last, found


def convolutional(spec: BackboneSpec, stride: int, purpose: str) -> Backbone:
    """Build a backbone, and refuse transformers and models with channels last; the sentence names the purpose."""
    backbone = Backbone(spec, stride=stride)
    if hasattr(backbone.model, "patch_embed"):
        raise UsageError(f"{purpose} needs a convolutional encoder, which '{spec.source}' is not.")
    return backbone


def build(spec: BackboneSpec, stride: int) -> Any:  # noqa: ANN401 - timm carries no types
    """Build the timm model with `output_stride`, else with `dynamic_img_size`, else with neither."""
    arguments = {key: value for key, value in spec.arguments.items() if key not in ("num_classes", "global_pool")}
    for extra in ({"output_stride": stride}, {"dynamic_img_size": True}, {}):
        try:
            return timm.create_model(
                spec.architecture, pretrained=False, num_classes=0, global_pool="", **{**arguments, **extra}
            )
        except TypeError as error:
            if not extra or FOREIGN_ARGUMENT not in str(error):
                raise UsageError(f"timm cannot build the backbone '{spec.source}': {error}.") from error
        except (AssertionError, NotImplementedError, ValueError, KeyError) as error:
            raise UsageError(
                f"timm cannot build the backbone '{spec.source}' with stride {stride}. Choose 8, 16 or 32, or another "
                f"backbone.{f' It says: {error}.' if str(error) else ''}"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def _patch_size(model: Any) -> int:  # noqa: ANN401 - timm carries no types
    """Patch size of a plain transformer; 0 for a model whose features already have two dimensions."""
    embedding = getattr(model, "patch_embed", None)
    if embedding is None or not hasattr(model, "num_prefix_tokens"):
        return 0
    side = embedding.patch_size
    return int(side[0] if isinstance(side, (tuple, list)) else side)


def _stride(model: Any) -> int:  # noqa: ANN401 - timm carries no types
    """Return pixels per cell of the feature map, measured on a black image of the model's default size."""
    side = int(model.pretrained_cfg["input_size"][-1])
    training = model.training
    with torch.no_grad():
        shape = model.eval().forward_features(torch.zeros(1, 3, side, side)).shape
    model.train(training)
    cells: int = shape[1 if getattr(model, "output_fmt", "NCHW") == "NHWC" else -1]
    return round(side / cells)


def _undilate(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            module.dilation = (1, 1)
            module.padding = tuple((side - 1) // 2 for side in module.kernel_size)
