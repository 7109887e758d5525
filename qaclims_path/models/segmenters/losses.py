"""Segmentation losses with unknown pixels and pixel weights; three of them are MONAI's.

Pixels labelled 255 are ignored. The weight of every other pixel, 0..1, is the confidence of its label.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.forgiving import bootstrapped, easy_weights
from qaclims_path.models.segmenters import Term

IGNORE = 255


@dataclass(frozen=True)
class PixelTargets:
    """Labels and weights of the pixels of a batch.

    Attributes:
        labels: B H W, int64 channel indices; any where `weight` is 0.
        weight: B H W in 0..1.
        total: Divisor of means over pixels: the sum of pixel weights times class weights.
    """

    labels: Tensor
    weight: Tensor
    total: float | Tensor

    def mean(self, each: Tensor) -> Tensor:
        """Return the mean of a loss per pixel (B H W)."""
        return (each * self.weight).sum() / torch.as_tensor(self.total).clamp(min=1.0)


def pixel_targets(labels: Tensor, weight: Tensor, total: float | Tensor) -> PixelTargets:
    """Make targets of B H W label indices (255 ignored) and weights (0..1)."""
    known = labels != IGNORE
    return PixelTargets(torch.where(known, labels, 0).long(), weight * known, total)


def reduced(planes: Tensor, height: int, width: int) -> Tensor:
    """Reduce B P H W labels and weights to a size; a pixel gets the value at its centre, as in Pillow.

    Examples:
        >>> reduced(torch.arange(9).view(1, 1, 1, 9), 1, 3).flatten().tolist()
        [1, 4, 7]
    """
    rows, columns = (
        (2 * torch.arange(new, device=planes.device) + 1) * old // (2 * new)
        for old, new in zip(planes.shape[-2:], (height, width), strict=True)
    )
    return planes[..., rows[:, None], columns]


def losses(
    logits: Tensor,
    pixels: PixelTargets,
    terms: Mapping[Term, float],
    classes: Tensor | None = None,
    *,
    easy: bool = False,
    own: float = 0.0,
) -> dict[str, Tensor]:
    """Compute losses by name, not multiplied by their weights.

    Args:
        logits: B K H W.
        pixels: Labels and weights of the pixels.
        terms: Weights of losses by name; only the names are used.
        classes: K, class weights.
        easy: Of `ce`, weigh easy pixels more.
        own: Of `ce`, share of the network's own classes in the target.
    """
    found: dict[Term, Loss] = {**LOSSES, "ce": partial(cross_entropy, easy=easy, own=own)}
    return {name: found[name](logits.float(), pixels, classes) for name in terms}


def cross_entropy(
    logits: Tensor, pixels: PixelTargets, classes: Tensor | None, *, easy: bool = False, own: float = 0.0
) -> Tensor:
    """Return the mean cross entropy, weighted by pixel and class.

    Forgiving weights come from the loss without class weights, and multiply the weights of pixels and classes.

    Args:
        logits: B K H W.
        pixels: Labels and weights of the pixels.
        classes: K, class weights.
        easy: Weigh easy pixels more, see `compute.forgiving`.
        own: Share of the network's own classes in the target.
    """
    if not easy and not own:
        return pixels.mean(_entropies(logits, pixels.labels, classes))
    each = plain = _entropies(logits, pixels.labels, None)
    if own:
        each = bootstrapped(each, logits, own)
    if easy:
        each = each * easy_weights(plain, pixels.labels, pixels.weight > 0)
    return pixels.mean(each if classes is None else each * classes[pixels.labels])


def _entropies(logits: Tensor, labels: Tensor, classes: Tensor | None) -> Tensor:
    """Return the cross entropy of every pixel (B H W)."""
    shape = labels.shape
    if torch.are_deterministic_algorithms_enabled():  # of images there is no deterministic version on GPUs, of rows is
        logits, labels = logits.movedim(1, -1).flatten(0, -2), labels.flatten()
    return F.cross_entropy(logits, labels, weight=classes, reduction="none").view(shape)


def focal(logits: Tensor, pixels: PixelTargets, classes: Tensor | None) -> Tensor:
    """MONAI's focal loss: cross entropy with a lower weight of pixels that are already right."""
    each = FocalLoss(use_softmax=True, reduction="none")(logits, _one_hot(logits, pixels))
    each = (each if classes is None else each * classes[:, None, None]).sum(1)  # MONAI would wait for the GPU
    return pixels.mean(each)


def dice(logits: Tensor, pixels: PixelTargets, classes: Tensor | None) -> Tensor:
    """MONAI's Dice loss over the whole batch, averaged over classes."""
    share = pixels.weight[:, None].sqrt()  # the loss squares both arguments, which makes it the weight
    loss = DiceLoss(squared_pred=True, batch=True, reduction="none")
    each = loss(logits.softmax(1) * share, _one_hot(logits, pixels) * share).flatten()
    return cast("Tensor", (each if classes is None else each * classes).mean())


def tversky(logits: Tensor, pixels: PixelTargets, _: Tensor | None) -> Tensor:
    """MONAI's Tversky loss: false negatives cost more than false positives; all labelled pixels have weight 1."""
    known = (pixels.weight > 0)[:, None]
    loss = TverskyLoss(alpha=0.3, beta=0.7, batch=True)
    return cast("Tensor", loss(logits.softmax(1) * known, _one_hot(logits, pixels) * known))


def _one_hot(logits: Tensor, pixels: PixelTargets) -> Tensor:
    return F.one_hot(pixels.labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)


Loss = Callable[[Tensor, PixelTargets, Tensor | None], Tensor]
LOSSES: dict[Term, Loss] = {
    "ce": cross_entropy,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
}


def halves(total: float | Tensor, background: float | Tensor, channels: int) -> Tensor:
    """Return the class weights (K) with which background and all classes together have half of the loss each.

    As published with CLIMS, the loss is the mean over background plus the mean over all other pixels, halved. A batch
    that has one kind alone gets the mean over that kind, where the released code gives NaN.

    Args:
        total: Sum of the weights of all pixels.
        background: The same of background, the last channel.
        channels: Number of channels.

    Examples:
        >>> halves(10, 8, 3).tolist()
        [0.25, 0.25, 0.0625]
    """
    kinds = torch.stack([torch.as_tensor(total - background), torch.as_tensor(background)]).float()
    share = torch.where(kinds > 0, 1 / kinds, 0.0) / (kinds > 0).sum().clamp(min=1)
    return torch.cat([share[:1].expand(channels - 1), share[1:]])


def balanced_weights(counts: Tensor) -> Tensor:
    """Return the class weights (K) from pixel counts (K): 1 / sqrt(count), scaled to a mean of 1 over all pixels.

    The weight of a class without pixels is 0.

    Examples:
        >>> balanced_weights(torch.tensor([900.0, 100.0, 0.0])).round(decimals=2).tolist()
        [0.75, 2.25, 0.0]
    """
    weights = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
    return weights * counts.sum() / (weights * counts).sum().clamp(min=1e-12)
