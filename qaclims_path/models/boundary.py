"""The class-boundary network of IRN (Ahn, Cho and Kwak, CVPR 2019).

Only its edge branch is built: its displacement branch separates instances of a class, which class masks do not need.
"""

import json
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.models.backbones import Backbone
from qaclims_path.models.names import BackboneSpec
from qaclims_path.models.saving import backbone_settings, load_network, save_network

SETTINGS, WEIGHTS = "boundary.json", "boundary.safetensors"
SCHEMA = 1
STRIDE = 4  # pixels per cell of the boundary map
LEVELS = 5  # the branch reads at most so many stages, the last ones
WIDTH, GROUPS = 32, 4
COARSEST = 8  # largest allowed stride of the finest features, in pixels


class BoundaryNet(nn.Module):
    """A frozen backbone, and a branch that predicts class boundaries from the features of its last stages.

    It takes pixels in 0..1; normalisation is inside.

    Examples:
        >>> net = BoundaryNet(find_backbone("resnet18"))  # doctest: +SKIP
        >>> net.edges(torch.rand(1, 3, 64, 64)).shape  # doctest: +SKIP
        torch.Size([1, 16, 16])
    """

    def __init__(self, spec: BackboneSpec, *, stride: int = 16, dilated: bool = True) -> None:
        """Build it with random weights.

        Args:
            spec: Backbone to build.
            stride: Stride of its last features, in pixels.
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
        """Compute boundary logits B h w of B 3 H W images in 0..1, at every 4th pixel from the first on."""
        height, width = ((side - 1) // STRIDE + 1 for side in images.shape[-2:])
        levels = [
            _enlarged(reduce(level), height, width).relu()
            for reduce, level in zip(self.reduce, self._features(images), strict=True)
        ]
        return cast("Tensor", self.decide(torch.cat(levels, dim=1)))[:, 0]

    @torch.inference_mode()
    def edges(self, images: Tensor) -> Tensor:
        """Compute boundaries in 0..1 (B h w) of B 3 H W images, averaged with the mirror images as published."""
        logits = self(torch.cat([images, images.flip(-1)]))
        plain, mirrored = logits[: len(images)], logits[len(images) :]
        both: Tensor = plain + mirrored.flip(-1)
        return (both / 2).sigmoid()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch between training and evaluation mode; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameter group of the branch; the backbone is not trained."""
        return [{"name": "branch", "params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    def save(self, folder: Path) -> None:
        """Write `boundary.safetensors`, and `boundary.json` last."""
        save_network(folder / WEIGHTS, self)
        write_json(
            folder / SETTINGS, {"schema": SCHEMA, "backbone": backbone_settings(self.backbone), **self._settings}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the folder of `save`, in evaluation mode."""
        path = folder / SETTINGS
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            spec, stride, dilated = (
                BackboneSpec(**settings["backbone"]),
                int(settings["stride"]),
                bool(settings["dilated"]),
            )
            schema = settings["schema"]
        except FileNotFoundError as error:
            raise BadFile(
                f"{folder} holds no boundary network ({SETTINGS}). Train one with `qaclims train boundary`."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadFile(f"{path} cannot be read: {error!r}. Copy it again from its run.") from error
        if schema != SCHEMA:
            raise BadFile(f"{path} has schema {schema}, but this version reads {SCHEMA}. Update qaclims_path.")
        net = cls(spec, stride=stride, dilated=dilated)
        load_network(net, folder / WEIGHTS, folder / SETTINGS)
        return net.eval()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return features of the last stages, finest first."""
        model = self.backbone.model
        if not hasattr(model, "forward_intermediates"):
            raise UsageError(
                f"The backbone '{self.backbone.spec.source}' does not return the features of its stages. Choose a "
                "ResNet, MobileNet, EfficientNet or ConvNeXt."
            )
        pixels = self.backbone.normalise(images).to(next(model.parameters()).dtype)
        with torch.no_grad():
            levels = model.forward_intermediates(pixels, intermediates_only=True)[-LEVELS:]
        rows = (images.shape[-2] - 1) // STRIDE + 1
        return [_pooled(level.float(), rows) for level in levels]


def reduced(labels: Tensor) -> Tensor:
    """Take the labels (B h w) of the cells of a boundary map from B H W labels: those in the middle, as published."""
    rows, columns = (_middles(side, labels.device) for side in labels.shape[-2:])
    return labels[:, rows][:, :, columns]


def _middles(side: int, device: torch.device) -> Tensor:
    return torch.arange(STRIDE // 2, side + STRIDE // 2, STRIDE, device=device).clamp(max=side - 1)


def _pooled(level: Tensor, rows: int) -> Tensor:
    """Halve features that are finer than the map of boundaries, as the maximum after a stem does."""
    return F.max_pool2d(level, 3, stride=2, padding=1) if level.shape[-2] >= 2 * rows - 1 > 1 else level


def _enlarged(values: Tensor, rows: int, columns: int) -> Tensor:
    """Enlarge by a whole number and cut at the right and below; as published, cells keep their positions."""
    factor = max(-(-rows // values.shape[-2]), -(-columns // values.shape[-1]))
    if factor > 1:
        values = F.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
    return values[..., :rows, :columns]
