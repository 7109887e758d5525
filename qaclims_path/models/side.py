"""Heads at several depths of a backbone, whose maps are averaged: shallow ones are finer, deep ones know more."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import UsageError
from qaclims_path.models.backbones import Stage, stages_of
from qaclims_path.models.side_spec import SideSpec


class SideHead(nn.Module):
    """A head on the features of one stage: a narrow layer, an optional gate by the deepest features, a classifier."""

    def __init__(self, channels: int, deepest: int, classes: int, *, width: int, gated: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.gate = nn.Conv2d(deepest, width, 1) if gated else None
        self.classify = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, features: Tensor, deepest: Tensor) -> Tensor:
        """Compute logits B C h w of the features B D h w of its stage, and the deepest features B E h' w'."""
        values = self.reduce(features)
        if self.gate is not None:
            values = values * enlarged(self.gate(deepest), values.shape[-2:]).sigmoid()
        return cast("Tensor", self.classify(values))


class Context(nn.Module):
    """Adds to features what a wide depthwise convolution finds around each cell."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Compute features of the same shape."""
        return cast("Tensor", features + self.norm(self.around(features)))


def chosen_stages(model: nn.Module, spec: SideSpec, source: str) -> list[Stage]:
    """Return the stages of a timm model that get heads; refuse those that it does not have."""
    if not spec.stages:
        return []
    known = stages_of(model)
    if len(known) < 2:
        raise UsageError(
            f"The backbone '{source}' does not return the features of several depths, so it can have no side heads. "
            "Choose a ResNet, MobileNet, EfficientNet, ConvNeXt or ViT, or leave cam.network.side.stages empty."
        )
    last = len(known) - 1
    if spec.stages[-1] > last:
        shown = ", ".join(f"{number} ({stage.stride} px)" for number, stage in enumerate(known))
        raise UsageError(
            f"The backbone '{source}' has no stage {spec.stages[-1]}. Its stages, with the pixels of a cell, are "
            f"{shown}. Choose cam.network.side.stages among them."
        )
    if spec.gate and last in spec.stages:
        raise UsageError(
            f"Stage {last} of the backbone '{source}' is its last, which nothing deeper can gate. Name shallower "
            "stages in cam.network.side.stages, or set cam.network.side.gate=false."
        )
    return [known[number] for number in spec.stages]


def averaged(maps: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Average the maps of several heads at the size of the finest, in fp32.

    The finest size keeps what shallow heads add, which that of the deepest would blur away.

    Args:
        maps: B C h w of each head; h and w differ.
        shares: Share of each head, with the sum 1.
    """
    size = max((each.shape[-2:] for each in maps), key=lambda side: side[0] * side[1])
    whole, *others = (share * enlarged(each.float(), size) for each, share in zip(maps, shares, strict=True))
    for each in others:
        whole = whole + each
    return whole


def enlarged(values: Tensor, size: torch.Size) -> Tensor:
    """Enlarge maps N C h w bilinearly; those of the size stay as they are."""
    return values if values.shape[-2:] == size else F.interpolate(values, list(size), mode="bilinear")
