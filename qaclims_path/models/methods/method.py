"""What a method sees of a batch, what it has to offer, and how values per pair become one loss."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qaclims_path.compute import losses
from qaclims_path.types import PairTexts


@dataclass(frozen=True)
class MapBatch:
    """The maps of a batch.

    Attributes:
        activations: B C h w in 0..1, the maps that regions are cut with.
        scores: B C, the pooled logits.
        present: B C, bool.
        images: Images that a mean is taken over: B, or the mean B over all processes and micro-batches.
        pairs: PairBatch (an image and a class present in it) that a mean is taken over, likewise.
        progress: Share of the training that is done, 0..1.
    """

    activations: Tensor
    scores: Tensor
    present: Tensor
    images: float
    pairs: float
    progress: float = 1.0


@dataclass(frozen=True)
class PairBatch:
    """What the judge made of P pairs of a batch; they may be seen a few at a time.

    Attributes:
        foreground: P D, unit vectors of the regions that show the class.
        background: P D, of what is left of the images.
        label: P, the class.
        present: P C, bool: all classes in the image.
        texts: Of the pairs.
        images: As in `MapBatch`.
        total: PairBatch that a mean is taken over; not what happens to be here.
        progress: As in `MapBatch`.
        classes: Texts of every class, as if there were C pairs; for methods that know more than a pair's own texts.
        words: L D, unit vectors of words for what is never the object: the same for all pairs.
    """

    foreground: Tensor
    background: Tensor
    label: Tensor
    present: Tensor
    texts: PairTexts
    images: float
    total: float
    progress: float = 1.0
    classes: PairTexts | None = None
    words: Tensor | None = None


class Method(Protocol):
    """A way to train activation maps. Its fields are its settings; it has no other state."""

    def needs_judge(self, progress: float) -> bool:
        """Whether regions and texts are looked at, at this point of the training (0..1)."""
        ...

    def activations(self, logits: Tensor, present: Tensor) -> Tensor:
        """Maps B C h w in 0..1 that regions are cut with."""
        ...

    def map_losses(self, seen: MapBatch) -> dict[str, Tensor]:
        """Named and weighted losses that need no judge."""
        ...

    def pair_losses(self, pairs: PairBatch) -> dict[str, Tensor]:
        """Named and weighted losses between regions and texts; over parts of a batch they add up."""
        ...


def published_map_losses(seen: MapBatch, *, area: float, classification: float) -> dict[str, Tensor]:
    """Area, and classification where it has a weight: the losses of both published methods that need no judge."""
    out = {"area": area * mean_over_images(losses.area(seen.activations), seen)}
    if classification:
        told = losses.classification(seen.scores, seen.present)
        out["classification"] = classification * mean_over_images(told, seen)
    return out


def floor_loss(seen: MapBatch, weight: float, floor: float) -> dict[str, Tensor]:
    """The penalty for present classes that lose their area, where it has a weight."""
    if not weight:
        return {}
    return {"floor": weight * mean_over_pairs(losses.area_floor(seen.activations, seen.present, floor), seen.pairs)}


def mean_over_images(value: Tensor, seen: MapBatch) -> Tensor:
    """A mean over the images here as its share of the mean over all processes."""
    return value * (len(seen.present) / seen.images)


def mean_over_pairs(values: Tensor, total: float) -> Tensor:
    """Mean of P values over the pairs of all processes; zero where there is no pair."""
    return values.sum() / max(total, 1.0)


def sum_over_pairs(values: Tensor, images: float, reference_batch: float | None) -> Tensor:
    """Sum of P values as it would be in a batch of the reference size; the plain sum where that is None.

    A published weight belongs to a sum over the pairs of one process's batch. Scaled like this it holds at any batch
    size and any number of processes.
    """
    return values.sum() * (1 if reference_batch is None else reference_batch / images)


def cosines(rows: Tensor, texts: Tensor) -> Tensor:
    """Of matching rows, N D each."""
    return (rows * texts.to(rows.dtype)).sum(-1)


def part_of(texts: PairTexts, rows: slice) -> PairTexts:
    """The texts of some of the pairs."""
    first, last = rows.start, min(rows.stop, len(texts.label))
    ragged = {}
    for kind, values, offsets in (
        ("foreground", texts.foreground, texts.foreground_offsets),
        ("background", texts.background, texts.background_offsets),
    ):
        begin, end = offsets[[first, last]].tolist()
        ragged[kind] = values[begin:end]
        ragged[f"{kind}_offsets"] = offsets[first : last + 1] - begin
    return PairTexts(features=texts.features, label=texts.label[first:last], **ragged)


def per_class(values: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Sums of P values over the pairs of each class, and the number of these: C each."""
    sums = torch.zeros(classes, device=values.device).index_add(0, label, values.float())
    return sums, torch.zeros_like(sums).index_add(0, label, torch.ones_like(values, dtype=torch.float32))
