"""Networks that label every pixel: one file per family, from normalised pixels to logits of classes.

Another package adds one through the entry points `qaclims_path.segmenters`: a function that takes the
`BackboneSpec` of a timm encoder, the number of channels, and settings, and returns a `SegmenterNet`.

May import compute, files, config, registry, types and errors, and the backbones of this room.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor, nn

from qaclims_path.errors import UsageError
from qaclims_path.models.backbones import BackboneSpec
from qaclims_path.registry import Registry


class SegmenterNet(Protocol):
    """What an architecture has to be; a torch module.

    Attributes:
        encoder: The timm model inside, which begins with pretrained weights and learns slower than the rest.

    A network may have more: `training_logits(pixels)`, a list of logits that are all trained (multi-scale inputs), and
    `multiple`, the number that height and width have to be multiples of.
    """

    encoder: nn.Module

    def __call__(self, pixels: Tensor) -> Tensor:
        """B 3 H W, normalised, to logits B K h w of any stride."""
        ...


class Build(Protocol):
    """Builds a network with random weights."""

    def __call__(self, encoder: BackboneSpec, channels: int, /, **settings: Any) -> nn.Module:  # noqa: ANN401 - its own settings
        """Build it.

        Args:
            encoder: The timm encoder to build on.
            channels: Classes to tell apart.
            settings: Of the architecture.
        """
        ...


SEGMENTERS: Registry[Build] = Registry("segmenter", "qaclims_path.segmenters")
FILES = "smp", "deeplabv2"


def known_segmenters() -> Registry[Build]:
    """The registry, once the architectures of this package have entered themselves."""
    for file in FILES:
        import_module(f"{__name__}.{file}")
    return SEGMENTERS


def build_network(architecture: str, encoder: BackboneSpec, channels: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build a registered architecture with random weights; what cannot be built is an error in a sentence.

    Example:
        >>> build_network("unett", find_backbone("resnet18"), 4, {})
        Traceback (most recent call last):
        qaclims_path.errors.NotRegistered: There is no segmenter 'unett'. Did you mean 'unet'? Known: ...
    """
    build = known_segmenters()[architecture]
    try:
        return build(encoder, channels, **settings)
    except UsageError:
        raise
    except Exception as error:  # libraries raise anything on an encoder that does not suit a decoder
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(
            f"The segmenter '{architecture}' cannot be built on the encoder '{encoder.source}' with the settings "
            f"{dict(settings) or '{}'}: {first}. Choose a ResNet, ConvNeXt, MobileNet or EfficientNet, or "
            "other settings."
        ) from error
