"""Losses that match views and texts when only image-level labels are known.

A caption may name only some of its classes, and a region shows an unknown part of its image's classes. So for some
pairs of view and text it is not known whether they match; these pairs are left out.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def pair_targets(
    present: Tensor, sure: Tensor, said: Tensor, wrong: Tensor, possible: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return which texts are true of which views, and for which pairs this is known.

    Args:
        present: N C, bool: classes that a view may show.
        sure: N, bool: the view shows all of them, as a complete image does.
        said: T C, bool: classes that a text is about; it names at least one.
        wrong: T, bool: the text also names a class that is not among these (a hard negative).
        possible: N C, bool: `present`, and the classes of which nothing is known; None where all are known.

    Returns:
        True pairs (N T) and known pairs (N T), bool.

    Examples:
        >>> image, text = torch.tensor([[True, True, False]]), torch.eye(3, dtype=torch.bool)
        >>> pair_targets(image, torch.tensor([True]), text, torch.zeros(3, dtype=torch.bool))[0].tolist()
        [[True, True, False]]
    """
    shows, about = present.float(), said.float()
    may_show = shows if possible is None else possible.float()
    all_there = (about @ (1 - shows).T == 0).T
    none_there = may_show @ about.T == 0
    within = may_show @ (1 - about).T == 0  # so these views cannot show the class that a hard negative adds
    truth = all_there & sure[:, None] & ~wrong
    false = torch.where(wrong, within, none_there)
    return truth, truth | false


def matching_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the binary cross-entropy of known pairs; true and false pairs of every text have equal weight.

    Args:
        logits: N T.
        truth: N T, bool: true pairs.
        known: N T, bool: known pairs.
    """
    losses = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    parts = []
    for side in (truth & known, ~truth & known):
        count = side.sum(0)
        means = (losses * side).sum(0) / count.clamp(min=1)  # 0 of a text without such a pair
        parts.append(means.sum() / (count > 0).sum().clamp(min=1))
    return (parts[0] + parts[1]) / 2


def patch_loss(logits: Tensor, present: Tensor, possible: Tensor | None = None, share: float = 0.15) -> Tensor:
    """Train patches from image-level labels: every patch shows a present class, every present class has some patches.

    Classes compete for patches. So two classes that mostly occur together can still be told apart: the images that hold
    one without the other decide.

    Args:
        logits: B K C of K patches.
        present: B C, bool, with a class in every image.
        possible: B C, bool: `present`, and unknown classes, which a patch may show, too; None where all are known.
        share: Least share of the patches of a present class.
    """
    chances = logits.softmax(-1).clamp(1e-6, 1)
    one_of = -(chances * (present if possible is None else possible)[:, None]).sum(-1).clamp(1e-6, 1).log().mean()
    most = chances.topk(max(round(share * logits.shape[1]), 1), dim=1).values.mean(1)
    some_patches = -(most.log() * present).sum() / present.sum()
    return one_of + some_patches


def region_shares(logits: Tensor, weights: Tensor, present: Tensor) -> Tensor:
    """Estimate the share of each class in a region from its patches: B C, each row sums to one.

    Args:
        logits: B K C of K patches.
        weights: B K in 0..1, how much of each patch belongs to the region.
        present: B C, bool; other classes get no share.
    """
    chances = logits.softmax(-1) * present[:, None] + 1e-6 * present[:, None]
    chances = chances / chances.sum(-1, keepdim=True)
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    return (chances * share[:, :, None]).sum(1)


def soft_blobs(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw random regions with sharp or soft edges: count side side in 0..1, each 0.05 to 0.9 of the area."""
    cells = int(torch.randint(2, 6, (1,), generator=generator))
    noise = F.interpolate(torch.randn(count, 1, cells, cells, generator=generator), (side, side), mode="bicubic")[:, 0]
    share = 0.05 + 0.85 * torch.rand(count, generator=generator)
    ordered = noise.flatten(1).sort(1).values
    edge = ordered.gather(1, ((1 - share) * (side * side - 1)).long()[:, None])[:, :, None]
    sharpness = torch.exp(1 + 3 * torch.rand(count, 1, 1, generator=generator))
    return torch.sigmoid(sharpness * (noise - edge))
