"""Task of the engine: the network of the maps, a method, and a teacher if the method uses language."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.segments import precise, segment_softmean
from qaclims_path.compute.windows import pooled, tissue_share
from qaclims_path.engine.task import Batch, StepInfo
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.methods.method import MapBatch, Method, classification_loss
from qaclims_path.pipeline.cam.plan import PLAN, Plan
from qaclims_path.pipeline.cam.teacher import Scene, Teacher


@dataclass(frozen=True)
class Slides:
    """Learns from labels of whole slides; a batch holds runs of `together` tiles of one slide.

    Attributes:
        together: Tiles of a run.
        sharpness: Sharpness of the soft maximum that pools their scores.
    """

    together: int
    sharpness: float

    def losses(
        self,
        scores: Tensor,
        present: Tensor,
        *,
        images: float,
        pairs: float,
        known: Tensor | None = None,
        labels: float | None = None,
    ) -> dict[str, Tensor]:
        """Ask that no tile shows a class that its slide lacks, and that some tile shows each class that the slide has.

        Args:
            scores: B C, the pooled logits of the tiles.
            present: B C, bool: the classes of each tile's slide.
            images: Number of tiles, averaged over all processes and micro-batches.
            pairs: Number of (tile, class of its slide) pairs, averaged likewise.
            known: B C, bool: whether it is known that the slide has or lacks the class; None where all are.
            labels: Number of known labels, averaged likewise; None where all are known.
        """
        total = images * present.shape[1] if labels is None else labels
        absent = ~present if known is None else ~present & known
        run = torch.arange(len(scores), device=scores.device) // self.together
        slides = segment_softmean(scores, run, len(scores) // self.together, self.sharpness)
        shown = F.softplus(-slides) * present[:: self.together]
        lacked = F.softplus(precise(scores)) * absent
        return {
            "slides": shown.sum() / max(pairs / self.together, 1.0),
            "absent": lacked.sum() / max(total - pairs, 1.0),
        }


class CamTask:
    """Training step of every method.

    Args:
        head_losses: Weights of the classification losses of the heads of a network with side heads.

    Attributes:
        network: The network, under the name that the engine expects.
        maps: The same network.
        augment: Makes the images (B 3 H W in 0..1) of a batch.
        memory_options: Options to lower for a lack of memory, and their values.
        memory_advice: Advice besides.
        glass: Leave white glass out of pooling, areas and regions.
    """

    def __init__(
        self,
        network: CamNet,
        method: Method,
        teacher: Teacher | None = None,
        *,
        augment: Callable[[Batch], Tensor] = itemgetter("image"),
        head_factor: float = 10.0,
        head_losses: Sequence[float] = (),
        glass: bool = False,
        published_pixels: bool = False,
        slides: Slides | None = None,
    ) -> None:
        self.network: nn.Module = network  # the type that the engine expects
        self.maps, self.augment, self.glass = network, augment, glass
        self._method, self._teacher = method, teacher
        self.memory_options = {"judge.chunk": teacher.chunk} if teacher else {}
        self.memory_advice = "Or set judge.recompute=on, or lower cam.augment.size." if teacher else ""
        self._head_factor, self._head_losses = head_factor, tuple(head_losses)
        self._published_pixels, self._slides = published_pixels, slides

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """Return parameters of the backbone, and of the head with its higher learning rate."""
        return self.maps.parameter_groups(lr, self._head_factor)

    def compile(self) -> None:
        """Compile the judge's image tower."""
        if self._teacher is not None:
            self._teacher.judge.compile()

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Return images, (image, class) pairs and known labels, over which losses are averaged."""
        known = float(batch["known"].sum())
        return {"images": float(len(batch["present"])), "pairs": float(batch[PLAN].pairs), "labels": known}

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Compute the losses of a micro-batch, and means per class for the log."""
        images, plan = self.augment(batch), batch[PLAN]
        present, known = batch["present"], batch["known"]
        output = self.maps(images)
        logits = output.maps.float()
        tissue = self._tissue(images, logits)
        activations = self._method.activations(logits, present | ~known)
        if tissue is not None:
            activations = activations * tissue[:, None]
        maps = MapBatch(
            activations=activations,
            scores=pooled(logits, tissue),
            present=present,
            images=info.counts["images"],
            pairs=info.counts["pairs"],
            progress=info.progress,
            known=known,
            labels=info.counts["labels"],
        )
        parts = {**self._map_losses(maps), **self._losses_of_heads(maps, output.heads, images)}
        loss = torch.stack([*parts.values()]).sum()
        areas = activations.detach().float().mean((-2, -1)) * present
        watched = self._per_class("area", areas.sum(0), plan)
        if self._teacher is not None and self._method.needs_judge(info.progress) and plan.pairs:
            pixels = self.maps.normalise(images) if self._published_pixels else images
            scene = Scene(pixels, tissue, present, plan)
            language = self._teacher.losses(self._method, scene, activations, info)
            loss = loss + language.pop("loss")
            watched |= self._per_class("background_similarity", language.pop("similar"), plan)
            parts = {**parts, **language}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}, **watched}

    def _tissue(self, images: Tensor, logits: Tensor) -> Tensor | None:
        """Share of tissue in each cell of B C h w logits (B h w); None where glass counts like tissue."""
        return tissue_share(images, (logits.shape[-2], logits.shape[-1])) if self.glass else None

    def _map_losses(self, maps: MapBatch) -> Mapping[str, Tensor]:
        return self._method.map_losses(maps) if self._slides is None else self._classification(maps)

    def _classification(self, maps: MapBatch) -> Mapping[str, Tensor]:
        """Losses of the pooled maps against the labels of tiles or slides, without a method's weight."""
        if self._slides is None:
            return classification_loss(maps, 1.0)
        return self._slides.losses(
            maps.scores, maps.present, images=maps.images, pairs=maps.pairs, known=maps.known, labels=maps.labels
        )

    def _losses_of_heads(self, maps: MapBatch, heads: Sequence[Tensor], images: Tensor) -> dict[str, Tensor]:
        """Sum the weighted classification losses of the maps of each head; empty without side heads."""
        found = []
        for weight, logits in zip(self._head_losses, heads, strict=True):
            scores = pooled(logits.float(), self._tissue(images, logits))
            found += [weight * loss for loss in self._classification(replace(maps, scores=scores)).values()]
        return {"heads": torch.stack(found).sum()} if found else {}

    def _per_class(self, name: str, sums: Tensor, plan: Plan) -> dict[str, Tensor]:
        """Means of the classes in this micro-batch, which show a lost class early."""
        means = sums.detach() / plan.counts
        rows = zip(self.maps.classes, means, plan.per_class, strict=True)
        return {f"{name}/{label}": mean for label, mean, pairs in rows if pairs}
