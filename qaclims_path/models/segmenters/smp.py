"""Decoders of segmentation_models_pytorch on any timm encoder with features at several scales."""

from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from qaclims_path.models.names import BackboneSpec
from qaclims_path.models.segmenters import SEGMENTERS

CLASSES = {"deeplabv3plus": "DeepLabV3Plus", "unet": "Unet", "segformer": "Segformer"}
TIMM = "tu-"  # the library's prefix of timm encoders
LEFT_OUT = ("num_classes", "global_pool", "features_only")


def network_arguments(encoder: BackboneSpec, channels: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of the library's class, also for exported bundles."""
    arguments = {key: value for key, value in encoder.arguments.items() if key not in LEFT_OUT}
    return {
        "encoder_name": f"{TIMM}{encoder.architecture}",
        "encoder_weights": None,
        "in_channels": 3,
        "classes": channels,
        **arguments,
        **settings,
    }


def _build(name: str, encoder: BackboneSpec, channels: int, settings: dict[str, Any]) -> nn.Module:
    network: nn.Module = getattr(smp, CLASSES[name])(**network_arguments(encoder, channels, settings))
    network.multiple = 32  # type: ignore[assignment]  # stride of the coarsest stage
    network.requires_divisible_input_shape = False  # type: ignore[assignment]  # the segmenter pads
    return network


@SEGMENTERS.add("deeplabv3plus")
def deeplabv3plus(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """Build DeepLabV3+ (Chen et al., ECCV 2018); settings such as `encoder_output_stride`, `decoder_atrous_rates`."""
    return _build("deeplabv3plus", encoder, channels, settings)


@SEGMENTERS.add("unet")
def unet(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """Build U-Net (Ronneberger et al., MICCAI 2015) on an encoder; settings such as `decoder_channels`."""
    return _build("unet", encoder, channels, settings)


@SEGMENTERS.add("segformer")
def segformer(encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - the library's
    """Build the decoder of SegFormer (Xie et al., NeurIPS 2021); a setting is `decoder_segmentation_channels`."""
    return _build("segformer", encoder, channels, settings)
