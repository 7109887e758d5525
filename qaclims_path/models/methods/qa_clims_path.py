"""QA-CLIMS for tissue, where every pixel is something: built from switches that can each be turned off.

What photographs give for free is missing on tissue: there is no sky behind a tumour, only other tissue. So the classes
compete for pixels, the other classes' texts are the negatives, and what is beside a class in this very image is what
its background should look like. Classification stays on, because contrast alone loses classes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from qaclims_path.compute import losses
from qaclims_path.compute.segments import owners, segment_softmean
from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import (
    MapBatch,
    PairBatch,
    cosines,
    floor_loss,
    mean_over_images,
    mean_over_pairs,
)
from qaclims_path.types import PairTexts

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@METHODS.add("qa-clims-path")
@dataclass(frozen=True)
class QaClimsPath:
    """Contrast between tissues, beside classification. All losses are means, so that weights hold at any batch.

    Attributes:
        classification: Weight of the classification loss.
        foreground: Weight of the foreground contrast.
        background: Weight of the background contrast.
        area: Weight of the mean activation.
        floor: Weight of the penalty for a present class whose area falls below `floor_area`.
        floor_area: Share of the image.
        competition: `tissue`: the present classes share every pixel; `rest`: they and something unnamed do; `none`:
            each class for itself.
        negatives: What a foreground should not look like: the answers about what is around, the other classes' texts,
            the words for artefacts and glass.
        beside: What a background should look like: the answers about what is around, the other classes present.
        sharpness: How much the best of several texts counts: 0 takes their plain mean.
        temperature: What cosines are divided by.
        shift: Subtracted from the maps before the sigmoid, without competition.
        ramp: Shares of the training at which language sets in and has its full weight.
    """

    classification: Weight = 1.0
    foreground: Weight = 0.5
    background: Weight = 0.5
    area: Weight = 0.0
    floor: Weight = 0.5
    floor_area: Annotated[float, Field(gt=0, lt=1)] = 0.05
    competition: Literal["tissue", "rest", "none"] = "rest"
    negatives: tuple[Literal["answers", "classes", "words"], ...] = ("classes", "words")
    beside: tuple[Literal["answers", "present"], ...] = ("answers", "present")
    sharpness: Weight = 10.0
    temperature: Annotated[float, Field(gt=0)] = 0.1
    shift: float = 0.0
    ramp: tuple[Share, Share] = (0.1, 0.3)

    def language(self, progress: float) -> float:
        """Share of its weight that language has."""
        begin, full = self.ramp
        return float(progress >= full) if full <= begin else min(max((progress - begin) / (full - begin), 0.0), 1.0)

    def needs_judge(self, progress: float) -> bool:
        """From the beginning of the ramp on, where language has a weight at all."""
        return self.foreground + self.background > 0 and self.language(progress) > 0

    def activations(self, logits: Tensor, present: Tensor) -> Tensor:
        """The sigmoid of the maps, or shares of each pixel among the classes present."""
        if self.competition == "none":
            return torch.sigmoid(logits - self.shift)
        return shares(logits, present, rest=self.competition == "rest")

    def map_losses(self, seen: MapBatch) -> dict[str, Tensor]:
        """Classification, and the losses on areas."""
        told = losses.classification(seen.scores, seen.present)
        out = {"classification": self.classification * mean_over_images(told, seen)}
        if self.area:
            out["area"] = self.area * mean_over_images(losses.area(seen.activations), seen)
        return out | floor_loss(seen, self.floor, self.floor_area)

    def pair_losses(self, pairs: PairBatch) -> dict[str, Tensor]:
        """The two contrasts, with the weight that language has by now."""
        weight = self.language(pairs.progress)
        return {
            "foreground": weight * self.foreground * mean_over_pairs(self._foreground(pairs), pairs.total),
            "background": weight * self.background * mean_over_pairs(self._background(pairs), pairs.total),
        }

    def _foreground(self, pairs: PairBatch) -> Tensor:
        """P: a foreground fits its own texts better than any of the negatives."""
        own, of_class = self._fits(pairs.foreground, pairs)
        against = []
        if "answers" in self.negatives:
            against.append(_answers(pairs.foreground, pairs.texts))
        if "classes" in self.negatives and pairs.classes is not None:
            against.append(_chosen(of_class, _others(pairs)))
        if "words" in self.negatives and pairs.words is not None:
            near = pairs.foreground @ pairs.words.to(pairs.foreground.dtype).T
            against.append(_chosen(near, torch.ones_like(near, dtype=torch.bool)))
        return losses.foreground_contrast(own, *_joined(against, own), self.temperature)

    def _background(self, pairs: PairBatch) -> Tensor:
        """P: a background fits what is beside the class better than the class's own texts."""
        own, of_class = self._fits(pairs.background, pairs)
        fits = []
        if "answers" in self.beside:
            fits.append(_answers(pairs.background, pairs.texts))
        if "present" in self.beside and pairs.classes is not None:
            fits.append(_chosen(of_class, _others(pairs) & pairs.present))
        values, owner = _joined(fits, own)
        return losses.background_contrast(values, own, owner, self.temperature)

    def _fits(self, regions: Tensor, pairs: PairBatch) -> tuple[Tensor, Tensor]:
        """How well regions fit the texts of their own pair (P) and of every class (P C)."""
        rows, owner = all_rows(pairs.texts)
        near = cosines(regions[owner], pairs.texts.features[rows])
        own = segment_softmean(near, owner, len(regions), self.sharpness)
        if pairs.classes is None:
            return own, torch.zeros_like(pairs.present, dtype=own.dtype)
        rows, owner = all_rows(pairs.classes)
        near = pairs.classes.features[rows].to(regions.dtype) @ regions.T
        return own, segment_softmean(near, owner, pairs.present.shape[1], self.sharpness).T


def shares(logits: Tensor, present: Tensor, *, rest: bool) -> Tensor:
    """Divide every pixel among the classes present (softmax), and something unnamed at logit 0 where `rest` is set.

    Args:
        logits: B C h w.
        present: B C, bool; other classes get nothing.
        rest: Whether a pixel may belong to none; with one class present this is the sigmoid.

    Returns:
        B C h w in 0..1.
    """
    masked = logits.masked_fill(~present[:, :, None, None], -torch.inf)
    if rest:
        return torch.cat([masked, torch.zeros_like(masked[:, :1])], dim=1).softmax(dim=1)[:, :-1]
    nothing = ~present.any(dim=1)
    return masked.masked_fill(nothing[:, None, None, None], 0).softmax(dim=1) * present[:, :, None, None]


def all_rows(texts: PairTexts) -> tuple[Tensor, Tensor]:
    """Every pair's own texts, its name and what was answered about it: rows of the features and their owners."""
    each = torch.arange(len(texts.label), device=texts.label.device)
    owner = owners(texts.foreground_offsets, len(texts.foreground))
    return torch.cat([texts.label, texts.foreground]), torch.cat([each, owner])


Ragged = tuple[Tensor, Tensor]  # values of all pairs in one vector, and the pair of each


def _answers(regions: Tensor, texts: PairTexts) -> Ragged:
    """Cosines with what was answered about the surroundings."""
    owner = owners(texts.background_offsets, len(texts.background))
    return cosines(regions[owner], texts.features[texts.background]), owner


def _others(pairs: PairBatch) -> Tensor:
    """P C: the classes that a pair is not about."""
    return torch.ones_like(pairs.present).scatter(1, pairs.label[:, None], False)  # noqa: FBT003 - torch's signature


def _chosen(values: Tensor, which: Tensor) -> Ragged:
    """Some values of each row of P N."""
    return values[which], which.nonzero()[:, 0]


def _joined(lists: list[Ragged], like: Tensor) -> Ragged:
    none = like[:0]
    return torch.cat([none, *(values for values, _ in lists)]), torch.cat([none.long(), *(owner for _, owner in lists)])
