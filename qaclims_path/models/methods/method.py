"""Interface of a method: the batches that it gets, the functions that it has, and means of losses over pairs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qaclims_path.types import PairTexts

if TYPE_CHECKING:
    from torch import Tensor


UNKNOWN = 0.3  # weight of all unknown labels together, as a multiple of that of all known ones


@dataclass(frozen=True)
class MapBatch:
    """The maps of B images.

    Attributes:
        activations: B C h w in 0..1, the maps that regions are masked with.
        scores: B C, the pooled logits.
        present: B C, bool: the classes in each image.
        images: Number of images: B, or the mean B over all processes and micro-batches.
        pairs: Divisor of means over (image, present class) pairs, averaged in the same way.
        progress: Share of the training done, 0..1.
        known: B C, bool: whether it is known that the class is present or absent; None where all are.
        labels: Divisor of means over known labels, averaged in the same way; None where all are known.
    """

    activations: "Tensor"
    scores: "Tensor"
    present: "Tensor"
    images: float
    pairs: float
    progress: float = 1.0
    known: "Tensor | None" = None
    labels: float | None = None


@dataclass(frozen=True)
class PairBatch:
    """The judge's features of P (image, present class) pairs; a batch may be split into several of these.

    Attributes:
        foreground: P D, unit vectors of the foreground regions.
        background: P D, unit vectors of the background regions.
        label: P, index of the pair's class.
        present: P C, bool: all classes in the pair's image; a class that is unknown there is left out. It is no pair,
            and its text may be a negative of a foreground, which shows another class, but never of a background.
        texts: Texts of the pairs.
        images: As in `MapBatch`.
        total: Divisor of means over pairs, as `MapBatch.pairs`; not P.
        progress: As in `MapBatch`.
        classes: Texts of every class, as those of C pairs; for methods that use texts of other classes.
        words: L D, unit vectors of words that are never the object; the same for all pairs.
    """

    foreground: "Tensor"
    background: "Tensor"
    label: "Tensor"
    present: "Tensor"
    texts: PairTexts
    images: float
    total: float
    progress: float = 1.0
    classes: PairTexts | None = None
    words: "Tensor | None" = None


class Method(Protocol):
    """A method that trains activation maps. Its fields are its settings; it has no other state."""

    def needs_judge(self, progress: float) -> bool:
        """Return whether `pair_losses` is used at this point of the training (0..1)."""
        ...

    def activations(self, logits: "Tensor", present: "Tensor") -> "Tensor":
        """Convert logits B C h w to maps in 0..1 that regions are masked with; `present` holds unknown classes, too."""
        ...

    def map_losses(self, batch: MapBatch) -> "dict[str, Tensor]":
        """Weighted losses by name that need no judge."""
        ...

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":
        """Weighted losses by name between regions and texts; those of the parts of a batch are summed."""
        ...


def published_map_losses(batch: MapBatch, *, area: float, classification: float) -> "dict[str, Tensor]":
    """Return losses of both published methods that need no judge: area, and classification if it has a weight."""
    out = area_loss(batch, area)
    return out | classification_loss(batch, classification) if classification else out


def classification_loss(batch: MapBatch, weight: float) -> "dict[str, Tensor]":
    """Multi-label classification of the pooled maps: the mean over known labels, and that over unknown ones.

    An unknown label is trained as unknown, with a probability of one half. Sparse annotations know where a class is and
    hardly anywhere that it is not, so known labels alone would teach that it is everywhere.
    """
    from qaclims_path.compute import losses

    loss = mean_over_labels(losses.classification(batch.scores, batch.present), batch)
    if batch.known is not None and batch.labels is not None:
        unknown = batch.scores.shape[1] * batch.images - batch.labels
        loss = loss + UNKNOWN * losses.mean_of_known(losses.undecided(batch.scores), ~batch.known, unknown)
    return {"classification": weight * loss}


def area_loss(batch: MapBatch, weight: float) -> "dict[str, Tensor]":
    """Mean activation of the classes whose presence is known."""
    from qaclims_path.compute import losses

    return {"area": weight * mean_over_labels(losses.area(batch.activations), batch)}


def floor_loss(batch: MapBatch, weight: float, floor: float) -> "dict[str, Tensor]":
    """Penalty for present classes whose area is below `floor`; empty without a weight."""
    from qaclims_path.compute import losses

    if not weight:
        return {}
    penalty = losses.area_floor(batch.activations, batch.present, floor)
    return {"floor": weight * mean_over_pairs(penalty, batch.pairs)}


def mean_over_labels(values: "Tensor", batch: MapBatch) -> "Tensor":
    """Turn B C values into their part of the mean over the known labels of all processes and micro-batches."""
    from qaclims_path.compute import losses

    total = values.shape[1] * batch.images if batch.labels is None else batch.labels
    return losses.mean_of_known(values, batch.known, total)


def mean_over_pairs(values: "Tensor", total: float) -> "Tensor":
    """Return the sum of values over the number of pairs of all processes; 0 without pairs."""
    return values.sum() / max(total, 1.0)


def sum_over_pairs(values: "Tensor", images: float, reference_batch: float | None) -> "Tensor":
    """Return the sum of P values, scaled to a batch of the reference size; the plain sum if that is None.

    A published weight belongs to a sum over the pairs of one process's batch. This scaling keeps it valid at any batch
    size and number of processes.
    """
    return values.sum() * (1 if reference_batch is None else reference_batch / images)


def cosines(rows: "Tensor", texts: "Tensor") -> "Tensor":
    """Return cosines of matching rows of two N D tensors of unit vectors."""
    return (rows * texts.to(rows.dtype)).sum(-1)
