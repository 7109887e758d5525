"""Losses between regions and texts, as functions of cosines, and losses on activation maps.

A pair is an image and a class present in it. Losses are one value per pair where possible, so that the caller decides
between the published sums and means. Pairs have different numbers of negatives: one vector of cosines, and the pair
that each belongs to.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.segments import precise, segment_logsumexp, segment_sum

NOTHING = 1e-6  # added to an area before its logarithm
LEAST = 1e-4  # distance of cosines from 0 and 1 before a logarithm, as published


def foreground_contrast(own: Tensor, other: Tensor, owner: Tensor, temperature: float) -> Tensor:
    """Contrast the foreground's cosine with its own text against its cosines with background texts.

    `-log(e^(own/t) / (e^(own/t) + sum(e^(other/t))))`; zero, without gradient, for a pair without background texts.

    Args:
        own: P, cosine of each foreground with its text.
        other: G, cosines of the foregrounds with the background texts; minus infinity is no text.
        owner: G, the pair of each of these.
        temperature: Divides the cosines.

    Examples:
        >>> foreground_contrast(torch.tensor([0.3]), torch.tensor([0.3, 0.3]), torch.tensor([0, 0]), 0.7)
        tensor([1.0986])
    """
    against = segment_logsumexp(other / temperature, owner, len(own))
    has = against > -torch.inf
    return torch.where(has, F.softplus(torch.where(has, against - precise(own) / temperature, 0)), 0)


def background_contrast(other: Tensor, own: Tensor, owner: Tensor, temperature: float) -> Tensor:
    """Contrast the background's cosines with background texts against its cosine with the class's text.

    `-log(m / (m + e^(own/t)))` with m the mean of `e^(other/t)`; zero for a pair without background texts.

    Args:
        other: G, cosines of the backgrounds with the background texts; minus infinity is no text.
        own: P, cosine of each background with the class's text.
        owner: G, the pair of each of `other`.
        temperature: Divides the cosines.
    """
    number = segment_sum((other > -torch.inf).float(), owner, len(own))
    has = number > 0
    fits = segment_logsumexp(other / temperature, owner, len(own)) - number.clamp(min=1).log()
    return torch.where(has, F.softplus(torch.where(has, precise(own) / temperature - fits, 0)), 0)


def object_text_matching(cosines: Tensor) -> Tensor:
    """CLIMS: pull a foreground towards the text of its class. P cosines to P losses."""
    return -precise(cosines).clamp(LEAST, 1 - LEAST).log()


def background_text_matching(cosines: Tensor) -> Tensor:
    """CLIMS: push a background away from the text of the class that was cut out of it. P cosines to P losses."""
    return -torch.log1p(-precise(cosines).clamp(LEAST, 1 - LEAST))


def cooccurring_background(cosines: Tensor, threshold: float) -> Tensor:
    """CLIMS: push a foreground away from words of objects that often occur with its class.

    Args:
        cosines: P L, of foregrounds with the background words.
        threshold: Cosines up to this add nothing.

    Returns:
        P sums over the words. Published without a clamp; here cosines are clamped below 1, for the logarithm.
    """
    cosines = precise(cosines)
    return torch.where(cosines > threshold, -torch.log1p(-cosines.clamp(max=1 - LEAST)), 0).sum(-1)


def area(activations: Tensor) -> Tensor:
    """Return the mean activation (B C h w in 0..1) of every image and class: B C."""
    return precise(activations).mean((-2, -1))


def area_floor(activations: Tensor, present: Tensor, floor: float) -> Tensor:
    """Penalise areas of present classes below a floor, by the logarithm of their ratio; 0 above the floor.

    A nearly empty map gets as strong a gradient as one slightly below the floor: the slope of its sigmoid is as small
    as its area, and the two cancel.

    Args:
        activations: B C h w in 0..1.
        present: B C, bool.
        floor: Smallest area without penalty, as a share of the image.

    Returns:
        B C losses, zero for absent classes.
    """
    return torch.where(present, F.relu(math.log(floor) - (area(activations) + NOTHING).log()), 0)


def classification(scores: Tensor, present: Tensor) -> Tensor:
    """Return the multi-label soft margin loss of logits (B C) for every image and class: B C."""
    return F.binary_cross_entropy_with_logits(precise(scores), present.float(), reduction="none")


def undecided(scores: Tensor) -> Tensor:
    """Return the cross entropy of logits (B C) with one half: least where a score is 0, as likely present as absent."""
    return (F.softplus(precise(scores)) + F.softplus(-precise(scores))) / 2


def mean_of_known(values: Tensor, known: Tensor | None, total: float) -> Tensor:
    """Return the mean of B C values over known labels; an unknown one gives neither loss nor gradient.

    Args:
        values: B C.
        known: B C, bool; None where all are.
        total: Number of known labels, by which the sum is divided.
    """
    return (values if known is None else torch.where(known, values, 0)).sum() / max(total, 1.0)
