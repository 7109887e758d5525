"""What the engine trains: a network of maps, one method, and, where the method asks for it, a teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qaclims_path.compute.windows import pooled, tissue_share
from qaclims_path.engine.task import Batch, StepInfo
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.methods.method import MapBatch, Method, per_class
from qaclims_path.pipeline.cam.teacher import Scene, Teacher


class CamTask:
    """One training step, whatever the method.

    Attributes:
        network: What is trained.
        maps: The same.
        memory_advice: What to lower first when memory is out.
        glass: Whether white glass is left out of pooling, areas and regions.
    """

    def __init__(
        self,
        network: CamNet,
        method: Method,
        teacher: Teacher | None = None,
        *,
        head_factor: float = 10.0,
        glass: bool = False,
        published_pixels: bool = False,
    ) -> None:
        self.network: nn.Module = network  # as the engine's protocol has it
        self.maps, self.glass = network, glass
        self._method, self._teacher = method, teacher
        self.memory_advice = f"Lower judge.chunk (now {teacher.chunk}) or cam.augment.size." if teacher else ""
        self._head_factor, self._published_pixels = head_factor, published_pixels

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """The backbone, and the faster head."""
        return self.maps.parameter_groups(lr, self._head_factor)

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """What losses are means over."""
        return {"images": float(len(batch["present"])), "pairs": float(batch["present"].sum())}

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Losses of a micro-batch."""
        images, present = batch["image"], batch["present"]
        logits = self.maps(images).maps.float()
        tissue = tissue_share(images, logits.shape[-2:]) if self.glass else None
        activations = self._method.activations(logits, present)
        if tissue is not None:
            activations = activations * tissue[:, None]
        seen = MapBatch(
            activations=activations,
            scores=pooled(logits, tissue),
            present=present,
            images=info.counts["images"],
            pairs=info.counts["pairs"],
            progress=info.progress,
        )
        parts = self._method.map_losses(seen)
        loss = torch.stack([*parts.values()]).sum()
        image, label = present.nonzero(as_tuple=True)
        areas = activations.detach().mean((-2, -1))[image, label]
        watched = self._per_class("area", *per_class(areas, label, present.shape[1]))
        if self._teacher is not None and self._method.needs_judge(info.progress) and len(label):
            pixels = self.maps.normalise(images) if self._published_pixels else images
            told = self._teacher.losses(self._method, Scene(pixels, tissue, present, batch["id"]), activations, info)
            loss = loss + told.pop("loss")
            watched |= self._per_class("background_similarity", told.pop("similar"), told.pop("shown"))
            parts = {**parts, **told}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}, **watched}

    def _per_class(self, name: str, sums: Tensor, number: Tensor) -> dict[str, Tensor]:
        """Means of the classes in this micro-batch; what is lost shows first in them."""
        shown = zip(self.maps.classes, sums.detach(), number, number.tolist(), strict=True)
        return {f"{name}/{label}": total / times for label, total, times, seen in shown if seen}
