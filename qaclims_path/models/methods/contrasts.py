"""Contrasts between tissues and texts, and the competition of classes for pixels, for `qa_clims_path.py`."""

from collections.abc import Collection

import torch
from torch import Tensor

from qaclims_path.compute import losses
from qaclims_path.compute.segments import segment_softmean
from qaclims_path.models.methods.method import PairBatch, cosines
from qaclims_path.types import PairTexts


def foreground(pairs: PairBatch, *, negatives: Collection[str], sharpness: float, temperature: float) -> Tensor:
    """P losses: a foreground should match its own texts better than any negative."""
    own, of_class = _similarities(pairs.foreground, pairs, sharpness)
    against = []
    if "answers" in negatives:
        against.append(_background_answers(pairs.foreground, pairs.texts))
    if "classes" in negatives and pairs.classes is not None:
        against.append(_flat(_where(_other_classes(pairs), of_class)))
    if "words" in negatives and pairs.words is not None:
        of_words = pairs.foreground @ pairs.words.to(pairs.foreground.dtype).T
        against.append(_flat(of_words))
    return losses.foreground_contrast(own, *_concatenated(against, own), temperature)


def background(pairs: PairBatch, *, beside: Collection[str], sharpness: float, temperature: float) -> Tensor:
    """P losses: a background should match the texts of its surroundings better than those of its class."""
    own, of_class = _similarities(pairs.background, pairs, sharpness)
    positives = []
    if "answers" in beside:
        positives.append(_background_answers(pairs.background, pairs.texts))
    if "present" in beside and pairs.classes is not None:
        positives.append(_flat(_where(_other_classes(pairs) & pairs.present, of_class)))
    values, owner = _concatenated(positives, own)
    return losses.background_contrast(values, own, owner, temperature)


def _similarities(regions: Tensor, pairs: PairBatch, sharpness: float) -> tuple[Tensor, Tensor]:
    """Return the similarity of regions to the texts of their own pair (P) and of every class (P C)."""
    rows, owner = all_rows(pairs.texts)
    similarity = cosines(regions[owner], pairs.texts.features[rows])
    own = segment_softmean(similarity, owner, len(regions), sharpness)
    if pairs.classes is None:
        return own, torch.zeros_like(pairs.present, dtype=own.dtype)
    rows, owner = all_rows(pairs.classes)
    similarity = pairs.classes.features[rows].to(regions.dtype) @ regions.T
    return own, segment_softmean(similarity, owner, pairs.present.shape[1], sharpness).T


def shares(logits: Tensor, present: Tensor, *, rest: bool) -> Tensor:
    """Softmax at every pixel over the classes that may be there, and over one more of logit 0 if `rest` is set.

    Args:
        logits: B C h w.
        present: B C, bool; the share of other classes is 0.
        rest: Add an unnamed class; with one present class the result is its sigmoid.

    Returns:
        B C h w in 0..1.
    """
    masked = logits.masked_fill(~present[:, :, None, None], -torch.inf)
    if rest:
        return torch.cat([masked, torch.zeros_like(masked[:, :1])], dim=1).softmax(dim=1)[:, :-1]
    none_present = ~present.any(dim=1)
    return masked.masked_fill(none_present[:, None, None, None], 0).softmax(dim=1) * present[:, :, None, None]


def all_rows(texts: PairTexts) -> tuple[Tensor, Tensor]:
    """Feature rows of each pair's class name and foreground answers, and the pair that owns each row."""
    pair = torch.arange(len(texts.label), device=texts.label.device)
    return torch.cat([texts.label, texts.foreground]), torch.cat([pair, texts.foreground_owner])


Ragged = tuple[Tensor, Tensor]  # values of all pairs in one vector, and the pair that owns each


def _background_answers(regions: Tensor, texts: PairTexts) -> Ragged:
    """Return cosines of regions with the answers about their surroundings."""
    owner = texts.background_owner
    return cosines(regions[owner], texts.features[texts.background]), owner


def _other_classes(pairs: PairBatch) -> Tensor:
    """P C, bool: all classes but that of the pair."""
    return torch.ones_like(pairs.present).scatter(1, pairs.label[:, None], False)  # noqa: FBT003 - torch's signature


def _where(mask: Tensor, values: Tensor) -> Tensor:
    """Replace values that the mask leaves out by minus infinity, which the contrasts ignore.

    Selecting the others would make the host wait for the GPU, to know how many there are.
    """
    return values.masked_fill(~mask, -torch.inf)


def _flat(values: Tensor) -> Ragged:
    """Return all values of P N as one vector."""
    pair = torch.arange(len(values), device=values.device)
    return values.flatten(), pair[:, None].expand_as(values).flatten()


def _concatenated(parts: list[Ragged], like: Tensor) -> Ragged:
    empty = like[:0]  # there may be no parts
    values = torch.cat([empty, *(values for values, _ in parts)])
    return values, torch.cat([empty.long(), *(owner for _, owner in parts)])
