"""Segmenters, networks that label every pixel: one file per family, from normalised pixels to class logits.

Another package adds one through the entry points `qaclims_path.segmenters`: a function that takes the
`BackboneSpec` of a timm encoder, the number of channels, and settings, and returns a `SegmenterNet`.

May import compute, files, config, registry, types and errors, and the backbones of models.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from qaclims_path.errors import UsageError
from qaclims_path.models.names import BackboneSpec
from qaclims_path.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

Term = Literal["ce", "focal", "dice", "tversky"]  # losses of `losses.py`


class SegmenterNet(Protocol):
    """Interface of an architecture, which is a torch module.

    Attributes:
        encoder: The timm model, which starts with pretrained weights and has a lower learning rate than the rest.

    Optional members are `training_logits(pixels)`, a list of logits of any sizes that are all trained and whose last is
    the prediction (multi-scale inputs), and `multiple`, a number of which height and width must be multiples.
    """

    encoder: "nn.Module"

    def __call__(self, pixels: "Tensor") -> "Tensor":
        """Compute logits B K h w, of any stride, of normalised B 3 H W pixels."""
        ...


class Build(Protocol):
    """Builds a network with random weights."""

    def __call__(self, encoder: BackboneSpec, channels: int, /, **settings: Any) -> "nn.Module":  # noqa: ANN401 - its own settings
        """Build the network.

        Args:
            encoder: The timm encoder to build on.
            channels: Number of output channels, one per class.
            settings: Settings of the architecture.
        """
        ...


SEGMENTERS: Registry[Build] = Registry(
    "segmenter",
    "qaclims_path.segmenters",
    {
        **dict.fromkeys(("deeplabv3plus", "unet", "segformer"), f"{__name__}.smp"),
        **{name: f"{__name__}.{name}" for name in ("deeplabv1", "deeplabv2")},
    },
)


def build_network(architecture: str, encoder: BackboneSpec, channels: int, settings: Mapping[str, Any]) -> "nn.Module":
    """Build a registered architecture with random weights; a failure raises a `UsageError` with a sentence.

    Examples:
        >>> build_network("unett", find_backbone("resnet18"), 4, {})
        Traceback (most recent call last):
        qaclims_path.errors.NotRegistered: There is no segmenter 'unett'. Did you mean 'unet'? Known: ...
    """
    build = SEGMENTERS[architecture]
    try:
        return build(encoder, channels, **settings)
    except UsageError:
        raise
    except Exception as error:  # libraries raise errors of any kind if an encoder does not fit a decoder
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(
            f"The segmenter '{architecture}' cannot be built on the encoder '{encoder.source}' with the settings "
            f"{dict(settings) or '{}'}: {first}. Choose a ResNet, ConvNeXt, MobileNet or EfficientNet, or "
            "other settings."
        ) from error
