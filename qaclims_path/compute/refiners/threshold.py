"""Turn class scores into labels: the highest wins, background below a threshold, ignored between two thresholds."""

import torch
from torch import Tensor


def decide(scores: Tensor, present: Tensor, threshold: float | None) -> tuple[Tensor, Tensor]:
    """Return labels (B H W, uint8) and their confidence (B H W, in 0..1) of B K H W scores in 0..1.

    With a threshold, pixels where no class scores above it are background; the confidence of a class is its score, that
    of background one minus the best score. Without a threshold there is no background, and the confidence is the
    class's share of all scores. An image without any class is background, with confidence 0 if there is no threshold.

    Args:
        scores: Scores of K classes; classes that are not present do not count.
        present: B K, bool.
        threshold: Highest score of background, or None where data have no background.

    Returns:
        Labels 0..K-1, K for background, and their confidence.

    Examples:
        >>> scores = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1)
        >>> [part.item() for part in decide(scores, torch.tensor([[True, True]]), 0.5)]
        [1, 0.6000000238418579]
    """
    best, label = best_of(scores, present)
    if threshold is None:
        total = (scores.clamp(min=0) * present[:, :, None, None]).sum(dim=1)
        sure = torch.where(total > 0, best / total.clamp(min=torch.finfo(total.dtype).tiny), torch.zeros_like(best))
        some = present.any(dim=1)[:, None, None]
        return torch.where(some, label, present.shape[1]).to(torch.uint8), sure
    nothing = best <= threshold
    label = label.masked_fill(nothing, present.shape[1])
    return label.to(torch.uint8), torch.where(nothing, 1 - best, best)


def best_of(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best score of the classes present (B H W, in 0..1; 0 without any) and the first class with it."""
    if not scores.shape[1]:
        return scores.new_zeros(scores[:, 0:0].sum(1).shape), scores.new_zeros(scores[:, 0:0].sum(1).shape).long()
    best, label = scores.masked_fill(~present[:, :, None, None], -1.0).max(dim=1)
    return best.clamp(0, 1), label


def in_doubt(scores: Tensor, present: Tensor, band: tuple[float, float]) -> Tensor:
    """Mark pixels (B H W) whose best score is above the lower and not above the upper threshold.

    Such a pixel is a class under the lower threshold and background under the upper one.
    """
    best, _ = best_of(scores, present)
    return (best > band[0]) & (best <= band[1])
