"""The class-boundary network of IRN (Ahn, Cho and Kwak, CVPR 2019): where one class ends and another begins.

Only its edge branch is built. The displacement branch tells instances of a class apart, which class masks do not need.
"""

import json
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.models.backbones import Backbone, BackboneSpec
from qaclims_path.models.saving import backbone_settings, fill_network, save_network

SETTINGS, WEIGHTS = "boundary.json", "boundary.safetensors"
SCHEMA = 1
STRIDE = 4  # pixels per cell of the boundaries
LEVELS = 5  # the last ones, where a backbone has more
WIDTH, GROUPS = 32, 4
COARSEST = 8  # pixels per cell of the finest features that boundaries can still be seen in


class BoundaryNet(nn.Module):
    """A frozen backbone, and a branch that sees boundaries in the features of all its stages.

    Pixels go in as they are, in 0..1.

    Example:
        >>> net = BoundaryNet(find_backbone("resnet18"))  # doctest: +SKIP
        >>> net.edges(torch.rand(1, 3, 64, 64)).shape  # doctest: +SKIP
        torch.Size([1, 16, 16])
    """

    def __init__(self, spec: BackboneSpec, *, stride: int = 16, dilated: bool = True) -> None:
        """Build it with random weights.

        Args:
            spec: Of the backbone.
            stride: Of its last features, in pixels.
            dilated: See `Backbone`.
        """
        super().__init__()
        self.backbone = Backbone(spec, stride=stride, dilated=dilated).requires_grad_(requires_grad=False).eval()
        self._settings = {"stride": stride, "dilated": dilated}
        side = 8 * COARSEST
        levels = self._features(torch.zeros(1, 3, side, side))
        if levels[0].shape[-1] * COARSEST < side:
            raise UsageError(
                f"The finest features of the backbone '{spec.source}' have {side // levels[0].shape[-1]} pixels per "
                "cell, too coarse for boundaries. Choose a ResNet, MobileNet, EfficientNet or ConvNeXt."
            )
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(level.shape[1], WIDTH, 1, bias=False), nn.GroupNorm(GROUPS, WIDTH))
            for level in levels
        )
        self.decide = nn.Conv2d(WIDTH * len(levels), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """B 3 H W in 0..1 to boundary logits B h w, one for every 4 pixels, the first pixel included."""
        height, width = ((side - 1) // STRIDE + 1 for side in images.shape[-2:])
        levels = [
            F.interpolate(reduce(level), (height, width), mode="bilinear", align_corners=False).relu()
            for reduce, level in zip(self.reduce, self._features(images), strict=True)
        ]
        return cast("Tensor", self.decide(torch.cat(levels, dim=1)))[:, 0]

    @torch.inference_mode()
    def edges(self, images: Tensor) -> Tensor:
        """Boundaries in 0..1 (B h w) of B 3 H W images, each looked at from both sides as published."""
        logits = self(torch.cat([images, images.flip(-1)]))
        plain, mirrored = logits[: len(images)], logits[len(images) :]
        both: Tensor = plain + mirrored.flip(-1)
        return (both / 2).sigmoid()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch between training and evaluation; the backbone stays in evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The branch; the backbone is not trained."""
        return [{"name": "branch", "params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    def save(self, folder: Path) -> None:
        """Write `boundary.safetensors` and, when that is complete, `boundary.json`."""
        save_network(folder / WEIGHTS, self)
        write_json(
            folder / SETTINGS, {"schema": SCHEMA, "backbone": backbone_settings(self.backbone), **self._settings}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, ready for evaluation."""
        path = folder / SETTINGS
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            spec, stride, dilated = BackboneSpec(**found["backbone"]), int(found["stride"]), bool(found["dilated"])
            schema = found["schema"]
        except FileNotFoundError as error:
            raise BadFile(
                f"{folder} holds no boundary network ({SETTINGS}). Train one with `qaclims train boundary`."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadFile(f"{path} cannot be read: {error!r}. Copy it again from its run.") from error
        if schema != SCHEMA:
            raise BadFile(f"{path} has schema {schema}, but this version reads {SCHEMA}. Update qaclims_path.")
        net = cls(spec, stride=stride, dilated=dilated)
        fill_network(net, folder / WEIGHTS, folder / SETTINGS)
        return net.eval()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Features of the last stages, the finest first."""
        model = self.backbone.model
        if not hasattr(model, "forward_intermediates"):
            raise UsageError(
                f"The backbone '{self.backbone.spec.source}' does not show the features of its stages. Choose a "
                "ResNet, MobileNet, EfficientNet or ConvNeXt."
            )
        pixels = self.backbone.normalise(images).to(next(model.parameters()).dtype)
        with torch.no_grad():
            levels = model.forward_intermediates(pixels, intermediates_only=True)[-LEVELS:]
        return [level.float() for level in levels]
