"""Losses between regions and texts, as functions of cosines, and the losses on maps that go with them.

One value per pair (an image and a class present in it) wherever pairs can be told apart, so that the caller decides
between the published sums and means. A pair's negatives are ragged: one vector of cosines and the owner of each.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.segments import counts, precise, segment_logsumexp

NOTHING = 1e-6  # what an area has at least, before a logarithm
LEAST = 1e-4  # cosines are kept this far from 0 and 1 before a logarithm, as published


def foreground_contrast(own: Tensor, other: Tensor, owner: Tensor, temperature: float) -> Tensor:
    """How much better a foreground fits its own text than the texts of what is around it.

    `-log(e^(own/t) / (e^(own/t) + sum(e^(other/t))))`; zero, without gradient, for a pair that has no other text.

    Args:
        own: P, cosine of each foreground with its text.
        other: G, cosines of the foregrounds with the background texts.
        owner: G, the pair of each of these.
        temperature: What cosines are divided by.

    Example:
        >>> foreground_contrast(torch.tensor([0.3]), torch.tensor([0.3, 0.3]), torch.tensor([0, 0]), 0.7)
        tensor([1.0986])
    """
    against = segment_logsumexp(other / temperature, owner, len(own))
    has = counts(owner, len(own)) > 0
    return torch.where(has, F.softplus(torch.where(has, against - precise(own) / temperature, 0)), 0)


def background_contrast(other: Tensor, own: Tensor, owner: Tensor, temperature: float) -> Tensor:
    """How much better a background fits the texts of what is around the class than the class's own text.

    `-log(m / (m + e^(own/t)))` with m the mean of `e^(other/t)`; zero for a pair that has no other text.

    Args:
        other: G, cosines of the backgrounds with the background texts.
        own: P, cosine of each background with the class's text.
        owner: G, the pair of each of `other`.
        temperature: What cosines are divided by.
    """
    number = counts(owner, len(own))
    has = number > 0
    fits = segment_logsumexp(other / temperature, owner, len(own)) - number.clamp(min=1).log()
    return torch.where(has, F.softplus(torch.where(has, precise(own) / temperature - fits, 0)), 0)


def object_text_matching(cosines: Tensor) -> Tensor:
    """CLIMS: a foreground should fit the text of its class. P cosines to P losses."""
    return -precise(cosines).clamp(LEAST, 1 - LEAST).log()


def background_text_matching(cosines: Tensor) -> Tensor:
    """CLIMS: a background should not fit the text of the class that was cut out of it. P cosines to P losses."""
    return -torch.log1p(-precise(cosines).clamp(LEAST, 1 - LEAST))


def cooccurring_background(cosines: Tensor, threshold: float) -> Tensor:
    """CLIMS: a foreground should not fit the words of what usually stands beside its class.

    Args:
        cosines: P L, of foregrounds with the background words.
        threshold: Smaller cosines are let alone.

    Returns:
        P, the sum over the words; published without a clamp, so only cosines that a logarithm cannot take are.
    """
    cosines = precise(cosines)
    return torch.where(cosines > threshold, -torch.log1p(-cosines.clamp(max=1 - LEAST)), 0).sum(-1)


def area(activations: Tensor) -> Tensor:
    """Mean activation of all classes at all pixels of all images, B C h w in 0..1."""
    return precise(activations).mean()


def area_floor(activations: Tensor, present: Tensor, floor: float) -> Tensor:
    """How far each present class's area is below a floor, as the logarithm of their ratio: 0 above it.

    A map that has gone dark is pulled up as hard as one that is about to: the slope of its sigmoid is as small as the
    area, and cancels.

    Args:
        activations: B C h w in 0..1.
        present: B C, bool.
        floor: Smallest area, as a share of the image, that is not penalised.

    Returns:
        P.
    """
    area = precise(activations).mean((-2, -1))[present]
    return F.relu(math.log(floor) - (area + NOTHING).log())


def classification(scores: Tensor, present: Tensor) -> Tensor:
    """Multi-label soft margin loss of class scores (B C, before a sigmoid), the mean over classes and images."""
    return F.multilabel_soft_margin_loss(precise(scores), present.float())
