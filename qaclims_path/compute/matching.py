"""Learning which texts are true of which views when only image-level labels are known.

A caption is about a set of classes and may name some of them only; a region of an image shows some of its classes,
nobody knows which. Both leave pairs of view and text of which nothing is known, and these are left out.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def pair_targets(present: Tensor, sure: Tensor, said: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    """Which texts are true of which views, and of which pairs that is known.

    Args:
        present: N C, bool: the classes that a view can show.
        sure: N, bool: it does show them all, as a whole image does.
        said: T C, bool: the classes that a text is about. It names one of them at least.
        wrong: T, bool: the text is about these classes, and about one that is not among them (a hard negative).

    Returns:
        Truth N T and knowledge N T, bool.

    Example:
        >>> image, text = torch.tensor([[True, True, False]]), torch.eye(3, dtype=torch.bool)
        >>> pair_targets(image, torch.tensor([True]), text, torch.zeros(3, dtype=torch.bool))[0].tolist()
        [[True, True, False]]
    """
    shows, about = present.float(), said.float()
    all_there = (about @ (1 - shows).T == 0).T
    none_there = shows @ about.T == 0
    within = shows @ (1 - about).T == 0  # what a hard negative adds is foreign to these views, too
    truth = all_there & sure[:, None] & ~wrong
    false = torch.where(wrong, within, none_there)
    return truth, truth | false


def matching_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of pairs, in which true and false ones of every text weigh the same.

    Args:
        logits: N T.
        truth: N T, bool.
        known: N T, bool.
    """
    losses = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    parts = []
    for side in (truth & known, ~truth & known):
        count = side.sum(0)
        mean = (losses * side).sum(0) / count.clamp(min=1)
        parts.append(mean[count > 0].mean() if (count > 0).any() else losses.sum() * 0)
    return (parts[0] + parts[1]) / 2


def placing_loss(logits: Tensor, present: Tensor, share: float = 0.15) -> Tensor:
    """How far the places of an image are from showing its classes: each one of them, and together all of them.

    Classes compete for places. So two classes that are seldom apart in images can still be told apart: each has places
    that are more like its own images.

    Args:
        logits: B K C of K places.
        present: B C, bool, with a class in every image.
        share: Of the places that a class has at least.
    """
    chances = logits.softmax(-1).clamp(1e-6, 1)
    one_of = -(chances * present[:, None]).sum(-1).clamp(1e-6, 1).log().mean()
    most = chances.topk(max(round(share * logits.shape[1]), 1), dim=1).values.mean(1)
    has_a_place = -most.log()[present].mean()
    return one_of + has_a_place


def shown_under(logits: Tensor, weights: Tensor, present: Tensor) -> Tensor:
    """Which classes a region shows, as far as its places tell: B C, shares that sum to one.

    Args:
        logits: B K C of K places.
        weights: B K in 0..1, how much of each place belongs to the region.
        present: B C, bool; what is not in the image is in no region of it.
    """
    chances = logits.softmax(-1) * present[:, None] + 1e-6 * present[:, None]
    chances = chances / chances.sum(-1, keepdim=True)
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    return (chances * share[:, :, None]).sum(1)


def soft_blobs(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Random regions, some of them sharp and some vague: count side side in 0..1, each of 0.05 to 0.9 of the area."""
    cells = int(torch.randint(2, 6, (1,), generator=generator))
    noise = F.interpolate(torch.randn(count, 1, cells, cells, generator=generator), (side, side), mode="bicubic")[:, 0]
    share = 0.05 + 0.85 * torch.rand(count, generator=generator)
    ordered = noise.flatten(1).sort(1).values
    edge = ordered.gather(1, ((1 - share) * (side * side - 1)).long()[:, None])[:, :, None]
    sharpness = torch.exp(1 + 3 * torch.rand(count, 1, 1, generator=generator))
    return torch.sigmoid(sharpness * (noise - edge))
