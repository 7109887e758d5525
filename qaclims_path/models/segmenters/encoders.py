"""Initial weights of a segmenter's encoder: whatever a network of maps can begin with, taken over part by part."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.backbones import BackboneSpec
from qaclims_path.models.camnet import CamNet

STRIDES = 32, 16, 8  # of the network that reads the weights; they do not depend on it, but not every encoder has each
SHOWN = 3


def pixels_of(encoder: BackboneSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels (red green blue, in 0..1) that an encoder was made for."""
    known = timm.models.get_pretrained_cfg(encoder.architecture, allow_unregistered=True)
    mean = encoder.mean or (tuple(known.mean) if known else (0.485, 0.456, 0.406))
    std = encoder.std or (tuple(known.std) if known else (0.229, 0.224, 0.225))
    return mean, std


def fill_encoder(encoder: nn.Module, spec: BackboneSpec, weights: str | Path, classes: Sequence[str]) -> list[str]:
    """Give an encoder its initial weights.

    Args:
        encoder: Of a segmenter; is changed in place.
        spec: What it was built from.
        weights: `none`, `pretrained`, a .safetensors file, `hf-hub:...`, `local-dir:...`, or the folder of a run, whose
            network of maps is taken.
        classes: Of the data set, to say less about a run that has the same.

    Returns:
        Sentences about what was left out.
    """
    if str(weights) == "none":
        return []
    source = _reader(spec, weights, classes)
    take_over(encoder, source.backbone.model.state_dict(), str(weights))
    return source.notes


@torch.no_grad()
def take_over(encoder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy the tensors of a whole timm model into one that only has its stages, where names are joined differently."""
    found = {_plain(key): value for key, value in state.items()}
    own = encoder.state_dict()
    lacking = [key for key in own if found.get(_plain(key), torch.empty(0)).shape != own[key].shape]
    if lacking:
        raise BadFile(
            f"{source} does not fit the encoder: it lacks {len(lacking)} of its {len(own)} tensors "
            f"({', '.join(lacking[:SHOWN])}). Choose the encoder that the weights were made with."
        )
    for key, value in own.items():
        value.copy_(found[_plain(key)])


def _plain(key: str) -> str:
    """A name as both spell it: wrappers put `model.` before it, and write `stages_0` for `stages.0`."""
    return key.removeprefix("model.").replace(".", "_")


def _reader(spec: BackboneSpec, weights: str | Path, classes: Sequence[str]) -> CamNet:
    """A network of maps that has read the weights."""
    refused: UsageError | None = None
    for stride in STRIDES:
        try:
            CamNet(spec, classes, stride=stride)
        except UsageError as error:
            refused = error
            continue
        return CamNet(spec, classes, stride=stride, weights=weights)
    raise UsageError(f"Weights for the encoder '{spec.source}' cannot be read: {refused}") from refused
