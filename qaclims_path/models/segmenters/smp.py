"""Decoders of segmentation_models_pytorch on any encoder of timm that has features at several scales."""

from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from qaclims_path.models.backbones import Plan
from qaclims_path.models.segmenters import SEGMENTERS

CLASSES = {"deeplabv3plus": "DeepLabV3Plus", "unet": "Unet", "segformer": "Segformer"}
TIMM = "tu-"  # how the library names encoders of timm
LEFT_OUT = ("num_classes", "global_pool", "features_only")


def arguments(plan: Plan, channels: int, settings: dict[str, Any]) -> dict[str, Any]:
    """What the library's class is called with; also what an exported bundle says."""
    encoder = {key: value for key, value in plan.arguments.items() if key not in LEFT_OUT}
    return {
        "encoder_name": f"{TIMM}{plan.architecture}",
        "encoder_weights": None,
        "in_channels": 3,
        "classes": channels,
        **encoder,
        **settings,
    }


def _build(name: str, plan: Plan, channels: int, settings: dict[str, Any]) -> nn.Module:
    network: nn.Module = getattr(smp, CLASSES[name])(**arguments(plan, channels, settings))
    network.multiple = 32  # type: ignore[assignment]  # the coarsest stage of every encoder
    network.requires_divisible_input_shape = False  # type: ignore[assignment]  # the segmenter pads
    return network


@SEGMENTERS.add("deeplabv3plus")
def deeplabv3plus(plan: Plan, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """DeepLabV3+ (Chen et al., ECCV 2018); settings such as `encoder_output_stride`, `decoder_atrous_rates`."""
    return _build("deeplabv3plus", plan, channels, settings)


@SEGMENTERS.add("unet")
def unet(plan: Plan, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """U-Net (Ronneberger et al., MICCAI 2015) on an encoder; settings such as `decoder_channels`."""
    return _build("unet", plan, channels, settings)


@SEGMENTERS.add("segformer")
def segformer(plan: Plan, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """The decoder of SegFormer (Xie et al., NeurIPS 2021); a setting is `decoder_segmentation_channels`."""
    return _build("segformer", plan, channels, settings)
