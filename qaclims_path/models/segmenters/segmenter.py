"""A segmenter: from pixels in 0..1 to class logits at full size; saved like models on the hub."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json, write_text
from qaclims_path.models.saving import load_network, save_network
from qaclims_path.models.segmenters import build_network
from qaclims_path.models.segmenters.encoders import fill_encoder, pixels_of
from qaclims_path.models.segmenters.hub import upload
from qaclims_path.models.segmenters.model_card import model_card
from qaclims_path.models.segmenters.spec import (
    CARD,
    SETTINGS,
    WEIGHTS,
    SegmenterSpec,
    check_classes,
    find_segmenter,
    read_spec,
)

FILES = (SETTINGS, WEIGHTS, CARD)


class Segmenter(nn.Module):
    """A network that labels every pixel, with its normalisation, classes and facts.

    Images may have any size: they are padded to a multiple of the network's stride by repeating their edges.

    Attributes:
        spec: Architecture, classes, pixel size and training data.
        network: Computes logits from normalised pixels; only its weights are saved.
        notes: Sentences about initial weights that were not used.

    Examples:
        >>> channels = (Channel("tumor", "Tumor", (255, 0, 0), 0), Channel("stroma", "Stroma", (0, 255, 0), 1))
        >>> segmenter = Segmenter(SegmenterSpec("unet", find_backbone("resnet18"), channels)).eval()
        >>> segmenter(torch.rand(1, 3, 100, 60)).shape
        torch.Size([1, 2, 100, 60])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: SegmenterSpec, *, weights: str | Path = "none") -> None:
        """Build the network.

        Args:
            spec: Segmenter to build.
            weights: Initial weights of the encoder, see `fill_encoder`.
        """
        super().__init__()
        if len(spec.channels) < 2:
            raise UsageError("A segmenter needs at least two classes, background included.")
        mean, std = pixels_of(spec.encoder)
        self.spec = replace(spec, encoder=replace(spec.encoder, mean=mean, std=std))
        self.network = build_network(spec.architecture, spec.encoder, len(spec.channels), spec.settings)
        self.notes = fill_encoder(cast("nn.Module", self.network.encoder), spec.encoder, weights, spec.classes)
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits B K H W, float32, of B 3 H W images in 0..1."""
        return self._full(self.network(self.prepared(images)), images)

    def training_logits(self, images: Tensor, *, enlarged: bool = True) -> list[Tensor]:
        """Logits that training compares with the labels: several if the network has multi-scale inputs.

        Args:
            images: B 3 H W in 0..1.
            enlarged: Give all logits the size of the images; otherwise they keep the sizes of the network's outputs for
                images with `padding`.
        """
        own, pixels = getattr(self.network, "training_logits", None), self.prepared(images)
        logits = own(pixels) if own else [self.network(pixels)]
        return [self._full(each, images) if enlarged else each.float() for each in logits]

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's signature
        """Compile the inner network, because training calls `training_logits` and not this module."""
        self.network.compile(*args, **kwargs)

    def padding(self, images: Tensor) -> tuple[int, int, int, int]:
        """Return the pixels to add to images left, right, above and below, so that the network can take them."""
        multiple = int(getattr(self.network, "multiple", 1))
        down, across = (-side % multiple for side in images.shape[-2:])
        return 0, across, 0, down

    def prepared(self, images: Tensor) -> Tensor:
        """Normalise and pad images in 0..1, in the precision of the network's weights."""
        pixels, padding = (images - self.mean) / self.std, self.padding(images)
        if any(padding):
            pixels = F.pad(pixels, padding, mode="replicate")
        return pixels.to(next(self.network.parameters()).dtype)

    def _full(self, logits: Tensor, images: Tensor) -> Tensor:
        """Resize logits of padded images to full size and crop them to the images."""
        height, width = images.shape[-2:]
        _, across, _, down = self.padding(images)
        size = (height + down, width + across)
        if tuple(logits.shape[-2:]) != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits[..., :height, :width].float()

    def parameter_groups(self, lr: float, head_factor: float = 10.0) -> list[dict[str, Any]]:
        """Parameter groups: the encoder at `lr`, the rest at `lr * head_factor`, its biases at twice that rate."""
        encoder = list(cast("nn.Module", self.network.encoder).parameters())
        inside = {id(parameter) for parameter in encoder}
        rest = [(name, each) for name, each in self.network.named_parameters() if id(each) not in inside]
        biases = [each for name, each in rest if name.endswith("bias")]
        weights = [each for name, each in rest if not name.endswith("bias")]
        fast = 2.0 if head_factor > 1 else 1.0
        return [
            {"name": "encoder", "params": [each for each in encoder if each.requires_grad], "lr": lr},
            {"name": "head", "params": weights, "lr": lr * head_factor},
            {"name": "biases", "params": biases, "lr": lr * head_factor * fast, "weight_decay": 0.0},
        ]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors`, `README.md` (the model card) and, at last, `config.json`."""
        folder = Path(folder)
        save_network(folder / WEIGHTS, self.network)
        write_text(folder / CARD, model_card(self.spec))
        write_json(folder / SETTINGS, self.spec.as_json())

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, revision: str | None = None, classes: Sequence[str] | None = None
    ) -> Self:
        """Load the folder of `save_pretrained`, in evaluation mode.

        Args:
            model: Folder of a segmenter or of a run, or `owner/name` on the hub.
            revision: Branch, tag or commit on the hub.
            classes: Class names that it must have, in this order; any if None.
        """
        folder = find_segmenter(model, revision)
        spec = read_spec(folder)
        check_classes(spec, classes, model)
        segmenter = cls(spec)
        load_network(segmenter.network, folder / WEIGHTS, folder / SETTINGS)
        return segmenter.eval()

    def push_to_hub(
        self, repo: str, *, private: bool = True, message: str = "Upload segmenter", endpoint: str | None = None
    ) -> str:
        """Upload the model and its card; returns the address of the page.

        Args:
            repo: `owner/name`; created if it does not exist.
            private: Make a new repository private.
            message: Commit message.
            endpoint: Address of the hub; the client's default if None.
        """
        return upload(self.save_pretrained, repo, FILES, private=private, message=message, endpoint=endpoint)
