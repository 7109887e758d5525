"""From class scores to labels: the highest wins, background below a threshold, doubt between two thresholds."""

import torch
from torch import Tensor


def decide(scores: Tensor, present: Tensor, threshold: float | None) -> tuple[Tensor, Tensor]:
    """Labels (B H W, uint8) and how sure they are (B H W, in 0..1) of B K H W scores in 0..1.

    With a threshold, background is where no class scores above it, and a class is as sure as its score, background as
    one minus the best score. Without one there is no background, and a class is as sure as its share of all scores. An
    image without any class is background, without any certainty where there is no threshold.

    Args:
        scores: Of K classes; those of classes that are not present are not looked at.
        present: B K, bool.
        threshold: Of background, or None where data have no background.

    Returns:
        Labels 0..K-1, K for background, and their confidence.

    Example:
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
    """The best score of the classes present (B H W, in 0..1; 0 without any), and which it is; first of equals."""
    if not scores.shape[1]:
        return scores.new_zeros(scores[:, 0:0].sum(1).shape), scores.new_zeros(scores[:, 0:0].sum(1).shape).long()
    best, label = scores.masked_fill(~present[:, :, None, None], -1.0).max(dim=1)
    return best.clamp(0, 1), label


def in_doubt(scores: Tensor, present: Tensor, band: tuple[float, float]) -> Tensor:
    """Where (B H W, bool) the best score of the classes present lies above the lower and not above the upper threshold.

    Such a pixel is a class under the lower, and background under the upper threshold.
    """
    best, _ = best_of(scores, present)
    return (best > band[0]) & (best <= band[1])
