"""Initial weights of a segmenter's encoder, from the same sources as those of a CamNet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from qaclims_path.errors import BadFile, UsageError, first_of
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.names import BackboneSpec

STRIDES = 32, 16, 8  # tried in turn for the CamNet that loads the weights, as not every encoder supports each


def pixels_of(encoder: BackboneSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of an encoder's pixels, red green blue, in 0..1."""
    known = timm.models.get_pretrained_cfg(encoder.architecture, allow_unregistered=True)
    mean = encoder.mean or (tuple(known.mean) if known else (0.485, 0.456, 0.406))
    std = encoder.std or (tuple(known.std) if known else (0.229, 0.224, 0.225))
    return mean, std


def fill_encoder(encoder: nn.Module, spec: BackboneSpec, weights: str | Path, classes: Sequence[str]) -> list[str]:
    """Load initial weights into an encoder.

    Args:
        encoder: Encoder of a segmenter to change in place.
        spec: Backbone of the encoder.
        weights: `none`, `pretrained`, a file, `hf-hub:...`, `local-dir:...`, or the folder of a run, whose
            CamNet is used.
        classes: Classes of the data set; a run with the same classes needs no note about its head.

    Returns:
        Sentences about weights that were not used.
    """
    if str(weights) == "none":
        return []
    cam_net = _load_cam_net(spec, weights, classes)
    copy_tensors(encoder, cam_net.backbone.model.state_dict(), str(weights))
    return cam_net.notes


@torch.no_grad()
def copy_tensors(encoder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors of a timm model into an encoder of the same model's stages, whose names are spelt differently."""
    given = {_plain(key): value for key, value in state.items()}
    own = encoder.state_dict()
    missing = [key for key in own if given.get(_plain(key), torch.empty(0)).shape != own[key].shape]
    if missing:
        raise BadFile(
            f"{source} does not fit the encoder: it lacks {len(missing)} of its {len(own)} tensors "
            f"({first_of(missing, 3)}). Choose the encoder that the weights were made with."
        )
    for key, value in own.items():
        value.copy_(given[_plain(key)])


def _plain(key: str) -> str:
    """Name without differences of spelling: wrappers add the prefix `model.` and write `stages_0` for `stages.0`."""
    return key.removeprefix("model.").replace(".", "_")


def _load_cam_net(spec: BackboneSpec, weights: str | Path, classes: Sequence[str]) -> CamNet:
    """CamNet with the weights loaded, of the first stride that its backbone supports."""
    problem: UsageError | None = None
    for stride in STRIDES:
        try:
            CamNet(spec, classes, stride=stride)
        except UsageError as error:
            problem = error
            continue
        return CamNet(spec, classes, stride=stride, weights=weights)
    raise UsageError(f"Weights for the encoder '{spec.source}' cannot be loaded: {problem}") from problem
