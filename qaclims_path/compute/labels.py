"""From class probabilities to the best class and its probability, as bytes."""

import torch
from torch import Tensor

from qaclims_path.compute.blending import NO_LABEL, SUM_MARGIN


def labels_and_confidence(probabilities: Tensor) -> Tensor:
    """Return the most probable class and 255 times its probability, as bytes B 2 H W, of probabilities B K H W.

    The class is `NO_LABEL` where a number is negative or NaN, or where the numbers do not add up to one.

    Examples:
        >>> labels_and_confidence(torch.tensor([0.2, 0.8]).view(1, 2, 1, 1)).flatten().tolist()
        [1, 204]
    """
    probabilities = probabilities.float()
    best, labels = probabilities.max(1)
    right = (probabilities.sum(1) - 1).abs().le(SUM_MARGIN) & probabilities.amin(1).ge(-SUM_MARGIN)
    return torch.stack([torch.where(right, labels, NO_LABEL).byte(), best.clamp(0, 1).mul(255).round().byte()], 1)
