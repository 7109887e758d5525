"""What a method sees of one batch, what it has to offer, and how values per pair become one loss."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qaclims_path.types import PairTexts


@dataclass(frozen=True)
class RegionFeatures:
    """What the judge made of the regions of P pairs: P D unit vectors each."""

    foreground: Tensor
    background: Tensor


@dataclass(frozen=True)
class Seen:
    """What is seen of one batch.

    Attributes:
        logits: B C h w, the maps before a sigmoid.
        activations: B C h w in 0..1, the maps that regions are cut with.
        scores: B C, the pooled logits.
        present: B C, bool.
        pairs: Number of pairs per process, the mean over processes: means over pairs divide by it.
        progress: Share of the training that is done, 0..1.
        regions: Of the P pairs (image, class) of `present.nonzero()`, in that order; None where no judge is used.
        texts: Of the P pairs.
        classes: Texts of every class, as if there were C pairs; for methods that know more than a pair's own texts.
        words: L D, unit vectors of words for what is never the object: the same for all pairs.
    """

    logits: Tensor
    activations: Tensor
    scores: Tensor
    present: Tensor
    pairs: float
    progress: float = 1.0
    regions: RegionFeatures | None = None
    texts: PairTexts | None = None
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

    def losses(self, seen: Seen) -> dict[str, Tensor]:
        """Named losses, already weighted: their sum is minimised."""
        ...


def regions_and_texts(seen: Seen) -> tuple[RegionFeatures, PairTexts]:
    """Both, for a method that cannot do without."""
    if seen.regions is None or seen.texts is None:
        raise ValueError("This method needs the judge's regions and texts, and was given none.")
    return seen.regions, seen.texts


def mean_over_pairs(values: Tensor, seen: Seen) -> Tensor:
    """Mean of P values over the pairs of all processes; zero, with a gradient of zero, where there is no pair."""
    return values.sum() / max(seen.pairs, 1.0) if len(values) else seen.logits.sum() * 0


def sum_over_pairs(values: Tensor, seen: Seen, reference_batch: float | None) -> Tensor:
    """Sum of P values as it would be in a batch of the reference size; the plain sum where that is None.

    A published weight belongs to a sum over the pairs of one process's batch. Scaled like this it holds at any batch
    size and any number of processes.
    """
    total = values.sum() if len(values) else seen.logits.sum() * 0
    return total if reference_batch is None else total * (reference_batch / len(seen.present))


def cosines(rows: Tensor, texts: Tensor) -> Tensor:
    """Of matching rows, N D each."""
    return (rows * texts.to(rows.dtype)).sum(-1)


@torch.no_grad()
def watch(seen: Seen) -> dict[str, Tensor]:
    """What tells early that a class is being lost: its mean area, and how much its background looks like it.

    Returns:
        `area` and, where a judge is used, `background_similarity`: C, the mean over the images that show the class,
        not a number for a class that none of them shows.
    """
    image, label = seen.present.nonzero(as_tuple=True)
    area = seen.activations.float().mean((-2, -1))[image, label]
    values = {"area": area}
    if seen.regions is not None and seen.texts is not None:
        own = seen.texts.features[seen.texts.label]
        values["background_similarity"] = cosines(seen.regions.background.float(), own)
    size = seen.present.shape[1]
    number = torch.zeros(size, device=label.device).index_add(0, label, torch.ones_like(area))
    return {
        name: torch.zeros(size, device=label.device).index_add(0, label, value) / number
        for name, value in values.items()
    }
