"""Losses per pixel that forgive wrong labels: weights of easy pixels, and targets that trust the network."""

import torch
from torch import Tensor


def easy_weights(each: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Weigh the pixels of an image by how low their loss is beside the others, as published with OEEM.

    The weights are the softmax of minus the loss over the known pixels of an image, divided by its mean. With cross
    entropy they are the probabilities of the labels, relative to their mean. An image with fewer than two different
    labels weighs 1 everywhere.

    Args:
        each: B H W, losses.
        labels: B H W, integers; any where unknown.
        known: B H W, bool.

    Returns:
        B H W without gradient; the mean over the known pixels of an image is 1.

    Examples:
        >>> easy_weights(torch.tensor([[[0.0, 0.6931]]]), torch.tensor([[[0, 1]]]), torch.tensor([[[True, True]]]))
        tensor([[[1.3333, 0.6667]]])
    """
    values, found, is_known = (plane.flatten(1) for plane in (each.detach().float(), labels, known))
    shares = (-values).masked_fill(~is_known, -torch.inf).softmax(1)
    least = found.masked_fill(~is_known, torch.iinfo(found.dtype).max).amin(1, keepdim=True)
    most = found.masked_fill(~is_known, -1).amax(1, keepdim=True)
    weights = torch.where(least < most, shares * is_known.sum(1, keepdim=True), 1.0)
    return weights.view_as(each)


def bootstrapped(each: Tensor, logits: Tensor, own: float) -> Tensor:
    """Mix the cross entropy of labels with that of the network's own most likely classes (hard bootstrapping).

    Args:
        each: B H W, cross entropy of the labels.
        logits: B K H W.
        own: Share of the network's own classes in the target, 0..1.

    Returns:
        B H W, the cross entropy of the mixed targets.

    Examples:
        >>> bootstrapped(torch.tensor([[[2.0]]]), torch.zeros(1, 2, 1, 1), 0.25)
        tensor([[[1.6733]]])
    """
    return (1 - own) * each + own * (logits.logsumexp(1) - logits.amax(1))
