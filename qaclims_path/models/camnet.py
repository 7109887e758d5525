"""The network whose maps are trained: a backbone and one row of weights per class."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.hub import HUB, LOCAL
from qaclims_path.models.backbones import Backbone, BackboneSpec, find_backbone
from qaclims_path.models.saving import backbone_settings, fill_network, save_network
from qaclims_path.models.weights import load_backbone, pretrained_weights, read_weights

SETTINGS, WEIGHTS = "camnet.json", "camnet.safetensors"
SCHEMA = 1
HEAD = "head.weight"


class CamOutput(NamedTuple):
    """What one pass gives.

    Attributes:
        maps: B C h w, logits.
        features: B D h w.
    """

    maps: Tensor
    features: Tensor


class CamNet(nn.Module):
    """Class activation maps: a backbone and a 1x1 convolution without bias.

    Pixels go in as they are, in 0..1; the backbone's own normalisation is inside.

    Attributes:
        classes: Class names in label order.
        stride: Pixels per cell of the maps.
        notes: Sentences about what was left out of the initial weights.

    Example:
        >>> net = CamNet("resnet18", ["tumor", "stroma"])
        >>> net(torch.rand(1, 3, 64, 64)).maps.shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(
        self,
        backbone: str | BackboneSpec,
        classes: Sequence[str],
        *,
        stride: int = 16,
        dilated: bool = True,
        weights: str | Path | None = None,
        freeze_bn: bool = False,
        freeze_stem: bool = False,
    ) -> None:
        """Build it and fill it.

        Args:
            backbone: A timm name, `hf-hub:owner/name[@revision]`, or `local-dir:PATH` with a timm `config.json`.
            classes: Class names in label order.
            stride: Pixels per cell of the maps; see `Backbone`.
            dilated: False as published: stages whose stride was taken away keep narrow kernels.
            weights: `none` or None for random ones, `pretrained` for the backbone's own, `hf-hub:...` or
                `local-dir:...`, a .safetensors file of the backbone, or the folder of an earlier run.
            freeze_bn: Whether batch norms keep their statistics while training.
            freeze_stem: True as published: what stands before the first stage is not trained.
        """
        super().__init__()
        if not classes:
            raise UsageError("A network for activation maps needs at least one class.")
        self.classes = tuple(classes)
        self.freeze_bn = freeze_bn
        self.backbone = Backbone(
            find_backbone(backbone) if isinstance(backbone, str) else backbone, stride=stride, dilated=dilated
        )
        self.stride = self.backbone.stride
        self.head = nn.Conv2d(self.backbone.width, len(self.classes), 1, bias=False)
        self._settings = {"stride": stride, "dilated": dilated}
        self.notes = self._fill(weights, backbone if isinstance(backbone, str) else backbone.source)
        if freeze_stem:
            for parameter in self.backbone.stem_parameters():
                parameter.requires_grad = False

    def normalise(self, images: Tensor) -> Tensor:
        """B 3 H W in 0..1 to what the backbone sees; the published methods showed the judge these pixels."""
        return self.backbone.normalise(images)

    def forward(self, images: Tensor) -> CamOutput:
        """B 3 H W in 0..1 to maps (logits) and the features behind them."""
        features = self.backbone(images)
        return CamOutput(self.head(features.to(self.head.weight.dtype)), features)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch between training and evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.freeze_bn:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def parameter_groups(self, lr: float, head_factor: float = 10.0) -> list[dict[str, Any]]:
        """Groups for an optimiser: the backbone at `lr` and the head, which starts from nothing, faster."""
        backbone = [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]
        return [
            {"name": "backbone", "params": backbone, "lr": lr},
            {"name": "head", "params": list(self.head.parameters()), "lr": lr * head_factor},
        ]

    def save(self, folder: Path) -> None:
        """Write `camnet.safetensors` and, when that is complete, `camnet.json` with the class names."""
        save_network(folder / WEIGHTS, self)
        write_json(
            folder / SETTINGS,
            {
                "schema": SCHEMA,
                "classes": list(self.classes),
                "backbone": backbone_settings(self.backbone),
                **self._settings,
            },
        )

    @classmethod
    def load(cls, folder: Path, *, classes: Sequence[str] | None = None) -> Self:
        """Read what `save` wrote, ready for evaluation.

        Args:
            folder: Of `save`, or of the run that holds it as `cam/`.
            classes: Names that it must have, in this order; whatever it has when None.
        """
        place = network_folder(folder)
        settings = read_settings(place)
        if classes is not None and tuple(classes) != tuple(settings["classes"]):
            raise UsageError(
                f"{place} was trained for the classes {', '.join(settings['classes'])}, not {', '.join(classes)}. "
                "Use the data set that it was trained on, or train again."
            )
        try:
            spec = BackboneSpec(**settings["backbone"])
        except TypeError as error:  # a key that is unknown or lacks
            raise BadFile(f"{place / SETTINGS} cannot be read: {error!r}. Copy it again from its run.") from error
        net = cls(spec, settings["classes"], stride=settings["stride"], dilated=settings["dilated"])
        fill_network(net, place / WEIGHTS, place / SETTINGS)
        return net.eval()

    def _fill(self, weights: str | Path | None, name: str) -> list[str]:
        """Take initial weights; returns what is to be said about them."""
        if weights is None or str(weights) == "none":
            return []
        if str(weights) == "pretrained":
            return load_backbone(self.backbone, *pretrained_weights(name))
        if str(weights).startswith((HUB, LOCAL)):
            return load_backbone(self.backbone, *pretrained_weights(str(weights)))
        if Path(weights).is_dir():
            return self._continue(network_folder(Path(weights)))
        return load_backbone(self.backbone, read_weights(Path(weights)), weights)

    def _continue(self, place: Path) -> list[str]:
        """Take over an earlier run: its backbone, and its head where the classes are the same."""
        settings = read_settings(place)
        state = read_weights(place / WEIGHTS)
        head = state.pop(HEAD, None)
        prefix = "backbone.model."
        inner = {key.removeprefix(prefix): value for key, value in state.items()}
        notes = load_backbone(self.backbone, inner, place)
        same = tuple(settings["classes"]) == self.classes
        if same and head is not None and head.shape == self.head.weight.shape:
            with torch.no_grad():
                self.head.weight.copy_(head)
            return notes
        had = ", ".join(settings["classes"])
        return [*notes, f"The head of {place} was not taken, because its classes are others ({had})."]


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that stand beside the weights of a CamNet, checked."""
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadFile(f"{folder} holds no {SETTINGS}, so it is not a trained network for activation maps.") from error
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Copy it again from its run.") from error
    keys = {"schema", "classes", "backbone", "stride", "dilated"}
    if not isinstance(found, dict) or not keys <= found.keys() or not isinstance(found["backbone"], dict):
        raise BadFile(f"{path} lacks {', '.join(sorted(keys))}. Copy it again from its run.")
    if found["schema"] != SCHEMA:
        raise BadFile(f"{path} has schema {found['schema']}, but this version reads {SCHEMA}. Update qaclims_path.")
    return cast("dict[str, Any]", found)


def network_folder(folder: Path) -> Path:
    """Where a network lies: the folder itself, or `cam/` in the folder of a run."""
    inner = folder / "cam"
    return inner if not (folder / SETTINGS).is_file() and inner.is_dir() else folder
