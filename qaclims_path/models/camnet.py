"""CamNet, the network of class activation maps: a backbone, a linear classifier per cell, and optional side heads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from qaclims_path.errors import BadFile, UsageError, first_of
from qaclims_path.files.atomic import write_json
from qaclims_path.files.hub import HUB, LOCAL
from qaclims_path.models.backbones import Backbone, find_backbone
from qaclims_path.models.cam_folder import SCHEMA, SETTINGS, WEIGHTS, demonstration_of, network_folder, read_settings
from qaclims_path.models.names import BackboneSpec
from qaclims_path.models.released import split_released
from qaclims_path.models.saving import backbone_settings, load_network, save_network
from qaclims_path.models.side import Context, SideHead, averaged, chosen_stages
from qaclims_path.models.side_spec import SideSpec
from qaclims_path.models.weights import State, load_backbone, pretrained_weights, read_weights

BACKBONE, HEAD = "backbone.model.", "head.weight"
PLAIN = SideSpec()


class CamOutput(NamedTuple):
    """Output of a forward pass.

    Attributes:
        maps: B C h w, logits of the classes, which side heads make finer than the features.
        features: B D h' w', features of the backbone.
        heads: B C h w of each side head and of the deepest head, whose mean the maps are; empty without side heads.
    """

    maps: Tensor
    features: Tensor
    heads: tuple[Tensor, ...] = ()


class CamNet(nn.Module):
    """Class activation maps: a backbone and a 1x1 convolution without bias.

    It takes pixels in 0..1; the backbone's normalisation is inside.

    Attributes:
        classes: Class names in label order.
        stride: Pixels per cell of the maps.
        side: Spec of the side heads; `SideSpec()` for none.
        notes: Sentences about initial weights that were not used.
        demonstration: Made-up material that it learnt from, such as `painted tissue`; empty for real images.

    Examples:
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
        freeze_stem: bool = False,
        side: SideSpec = PLAIN,
    ) -> None:
        """Build the network and load its initial weights.

        Args:
            backbone: A timm name, `hf-hub:owner/name[@revision]`, or `local-dir:PATH` with a timm `config.json`.
            classes: Class names in label order.
            stride: Pixels per cell of the backbone's features; see `Backbone`.
            dilated: See `Backbone`; False as published.
            weights: `none` or None for random weights, `pretrained` for the backbone's own, `hf-hub:...` or
                `local-dir:...`, a file of the backbone or of the released classifier, or the folder of an earlier run.
            freeze_stem: Do not train the layers before the first stage; True as published.
            side: Heads at several depths, whose maps are averaged, see `SideSpec`.
        """
        super().__init__()
        if not classes:
            raise UsageError("A network for activation maps needs at least one class.")
        self.classes = tuple(classes)
        self.backbone = Backbone(
            find_backbone(backbone) if isinstance(backbone, str) else backbone, stride=stride, dilated=dilated
        )
        self.side = side
        width, stages = self.backbone.width, chosen_stages(self.backbone.model, side, self.backbone.spec.source)
        self.stride = min([self.backbone.stride, *(each.stride for each in stages)])
        self.head = nn.Conv2d(width, len(self.classes), 1, bias=False)
        self.side_heads = nn.ModuleDict(
            {
                str(number): SideHead(each.channels, width, len(self.classes), width=side.width, gated=side.gate)
                for number, each in zip(side.stages, stages, strict=True)
            }
        )
        self.context = Context(width, side.context) if side.context else nn.Identity()
        self._settings = {"stride": stride, "dilated": dilated}
        self.demonstration = ""
        self.notes = self._load_initial(weights, backbone if isinstance(backbone, str) else backbone.source)
        if freeze_stem:
            for parameter in self.backbone.stem_parameters():
                parameter.requires_grad = False

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise B 3 H W images in 0..1 for the backbone; the published methods also gave the judge these pixels."""
        return self.backbone.normalise(images)

    def forward(self, images: Tensor) -> CamOutput:
        """Compute maps (logits) and features of B 3 H W images in 0..1."""
        features, found = self.backbone.with_stages(images, self.side.stages)
        dtype = self.head.weight.dtype
        deepest = features.to(dtype)
        maps = self.head(self.context(deepest))
        if not found:
            return CamOutput(maps, features)
        shallow = (head(each.to(dtype), deepest) for head, each in zip(self.side_heads.values(), found, strict=True))
        heads = (*shallow, maps)
        return CamOutput(averaged(heads, self.side.shares), features, heads)

    def parameter_groups(self, lr: float, head_factor: float = 10.0) -> list[dict[str, Any]]:
        """Parameter groups: the backbone at `lr`; heads and context, which begin with random weights, at more of it."""
        backbone = [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]
        new = [each for part in (self.head, self.side_heads, self.context) for each in part.parameters()]
        return [
            {"name": "backbone", "params": backbone, "lr": lr},
            {"name": "head", "params": new, "lr": lr * head_factor},
        ]

    def save(self, folder: Path) -> None:
        """Write `camnet.safetensors`, and `camnet.json` with the class names last."""
        save_network(folder / WEIGHTS, self)
        write_json(
            folder / SETTINGS,
            {
                "schema": SCHEMA,
                "classes": list(self.classes),
                "backbone": backbone_settings(self.backbone),
                **self._settings,
                **({} if self.side.is_plain else {"side": self.side.model_dump(mode="json")}),
                **({"demonstration": self.demonstration} if self.demonstration else {}),
            },
        )

    @classmethod
    def load(cls, folder: Path, *, classes: Sequence[str] | None = None) -> Self:
        """Load the folder of `save`, in evaluation mode.

        Args:
            folder: Folder of `save`, or the folder of a run that holds it as `cam/`.
            classes: Class names that it must have, in this order; any if None.
        """
        folder = network_folder(folder)
        settings = read_settings(folder)
        if classes is not None and tuple(classes) != tuple(settings["classes"]):
            raise UsageError(
                f"{folder} was trained for the classes {', '.join(settings['classes'])}, not {', '.join(classes)}. "
                "Use the data set that it was trained on, or train again."
            )
        try:
            spec = BackboneSpec(**settings["backbone"])
        except TypeError as error:  # an unknown or a missing key
            raise BadFile(f"{folder / SETTINGS} cannot be read: {error!r}. Copy it again from its run.") from error
        side = SideSpec.of_file(settings.get("side"), folder / SETTINGS) or PLAIN
        net = cls(spec, settings["classes"], stride=settings["stride"], dilated=settings["dilated"], side=side)
        load_network(net, folder / WEIGHTS, folder / SETTINGS)
        net.demonstration = demonstration_of(settings)
        return net.eval()

    def _load_initial(self, weights: str | Path | None, name: str) -> list[str]:
        """Load initial weights; returns sentences about those that were not used."""
        if weights is None or str(weights) == "none":
            return []
        if str(weights) == "pretrained":
            return load_backbone(self.backbone, *pretrained_weights(name))
        if str(weights).startswith((HUB, LOCAL)):
            return load_backbone(self.backbone, *pretrained_weights(str(weights)))
        if Path(weights).is_dir():
            return self._load_run(network_folder(Path(weights)))
        state, head = split_released(read_weights(Path(weights)))
        notes = load_backbone(self.backbone, state, weights)
        if head is None or self._load_head(head):
            return notes
        return [*notes, f"The classifier of {weights} was not loaded, because it is for other classes."]

    def _load_run(self, folder: Path) -> list[str]:
        """Load the backbone of an earlier run, and its head if the classes are the same."""
        settings = read_settings(folder)
        self.demonstration = demonstration_of(settings)
        state = read_weights(folder / WEIGHTS)
        of_backbone = {key.removeprefix(BACKBONE): state.pop(key) for key in list(state) if key.startswith(BACKBONE)}
        notes = load_backbone(self.backbone, of_backbone, folder)
        if tuple(settings["classes"]) == self.classes and HEAD in state and self._load_head(state.pop(HEAD)):
            return [*notes, *self._load_beside(state, folder)]
        classes = ", ".join(settings["classes"])
        return [*notes, f"The head of {folder} was not loaded, because it is for other classes ({classes})."]

    def _load_beside(self, state: State, folder: Path) -> list[str]:
        """Load side heads and context; returns sentences about those that only one of both networks has."""
        own = {key: value for key, value in self.state_dict().items() if not key.startswith(BACKBONE) and key != HEAD}
        fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
        self.load_state_dict(fitting, strict=False)
        new, unused = (sorted(keys - fitting.keys()) for keys in (own.keys(), state.keys()))
        return [
            *([f"{folder} has no weights for {first_of(new, 3)}, which begin with random ones."] if new else []),
            *([f"{len(unused)} tensors of {folder} were not used ({first_of(unused, 3)})."] if unused else []),
        ]

    @torch.no_grad()
    def _load_head(self, head: Tensor) -> bool:
        """Copy a head; returns whether it has the right shape."""
        fits = head.shape == self.head.weight.shape
        if fits:
            self.head.weight.copy_(head)
        return fits
