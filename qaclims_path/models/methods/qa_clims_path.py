"""QA-CLIMS for tissue, with parts that can each be switched off.

Unlike a photograph, tissue has no empty background: around a tumour is other tissue. So the present classes compete for
pixels, texts of other classes are negatives of a foreground, and a background should match the other classes in the
image. Classification is always trained, because with contrastive losses alone the maps lose classes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from qaclims_path.compute import losses
from qaclims_path.compute.segments import segment_softmean
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
    """Classification and contrastive losses between tissues. All losses are means, so weights fit any batch size.

    Attributes:
        classification: Weight of the classification loss.
        foreground: Weight of the foreground contrast.
        background: Weight of the background contrast.
        area: Weight of the mean activation.
        floor: Weight of the penalty for a present class whose area falls below `floor_area`.
        floor_area: Share of the image, 0..1.
        competition: `tissue`: softmax over the present classes at every pixel; `rest`: with one more, unnamed class;
            `none`: a sigmoid per class.
        negatives: Texts that a foreground should not match: `answers` about its surroundings, other `classes`, `words`
            for artefacts and glass.
        beside: Texts that a background should match: `answers` about the surroundings, other `present` classes.
        sharpness: Sharpness of the softmax that weights several texts of a class; 0 is their plain mean.
        temperature: Divisor of cosines.
        shift: Subtracted from the maps before the sigmoid, without competition.
        ramp: Shares of the training (0..1) between which the weight of the contrastive losses rises from 0 to full.
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
        """Return the factor of the contrastive losses' weights at a point of the training, 0..1."""
        begin, full = self.ramp
        return float(progress >= full) if full <= begin else min(max((progress - begin) / (full - begin), 0.0), 1.0)

    def needs_judge(self, progress: float) -> bool:
        """After the start of the ramp, if one of the contrasts has a weight."""
        return self.foreground + self.background > 0 and self.language(progress) > 0

    def activations(self, logits: Tensor, present: Tensor) -> Tensor:
        """Return the sigmoid of the maps, or the shares of the present classes in each pixel."""
        if self.competition == "none":
            return torch.sigmoid(logits - self.shift)
        return shares(logits, present, rest=self.competition == "rest")

    def map_losses(self, batch: MapBatch) -> dict[str, Tensor]:
        """Classification, and area and floor if they have a weight."""
        loss = losses.classification(batch.scores, batch.present)
        out = {"classification": self.classification * mean_over_images(loss, batch)}
        if self.area:
            out["area"] = self.area * mean_over_images(losses.area(batch.activations), batch)
        return out | floor_loss(batch, self.floor, self.floor_area)

    def pair_losses(self, pairs: PairBatch) -> dict[str, Tensor]:
        """Return the two contrastive losses, with their weights at this point of the training."""
        weight = self.language(pairs.progress)
        return {
            "foreground": weight * self.foreground * mean_over_pairs(self._foreground(pairs), pairs.total),
            "background": weight * self.background * mean_over_pairs(self._background(pairs), pairs.total),
        }

    def _foreground(self, pairs: PairBatch) -> Tensor:
        """P losses: a foreground should match its own texts better than any negative."""
        own, of_class = self._similarities(pairs.foreground, pairs)
        negatives = []
        if "answers" in self.negatives:
            negatives.append(_background_answers(pairs.foreground, pairs.texts))
        if "classes" in self.negatives and pairs.classes is not None:
            negatives.append(_flat(_where(_other_classes(pairs), of_class)))
        if "words" in self.negatives and pairs.words is not None:
            of_words = pairs.foreground @ pairs.words.to(pairs.foreground.dtype).T
            negatives.append(_flat(of_words))
        return losses.foreground_contrast(own, *_concatenated(negatives, own), self.temperature)

    def _background(self, pairs: PairBatch) -> Tensor:
        """P losses: a background should match the texts of its surroundings better than those of its class."""
        own, of_class = self._similarities(pairs.background, pairs)
        positives = []
        if "answers" in self.beside:
            positives.append(_background_answers(pairs.background, pairs.texts))
        if "present" in self.beside and pairs.classes is not None:
            positives.append(_flat(_where(_other_classes(pairs) & pairs.present, of_class)))
        values, owner = _concatenated(positives, own)
        return losses.background_contrast(values, own, owner, self.temperature)

    def _similarities(self, regions: Tensor, pairs: PairBatch) -> tuple[Tensor, Tensor]:
        """Return the similarity of regions to the texts of their own pair (P) and of every class (P C)."""
        rows, owner = all_rows(pairs.texts)
        similarity = cosines(regions[owner], pairs.texts.features[rows])
        own = segment_softmean(similarity, owner, len(regions), self.sharpness)
        if pairs.classes is None:
            return own, torch.zeros_like(pairs.present, dtype=own.dtype)
        rows, owner = all_rows(pairs.classes)
        similarity = pairs.classes.features[rows].to(regions.dtype) @ regions.T
        return own, segment_softmean(similarity, owner, pairs.present.shape[1], self.sharpness).T


def shares(logits: Tensor, present: Tensor, *, rest: bool) -> Tensor:
    """Softmax over the present classes at every pixel, and over one more, unnamed class of logit 0 if `rest` is set.

    Args:
        logits: B C h w.
        present: B C, bool; the share of other classes is 0.
        rest: Add the unnamed class; with one present class the result is its sigmoid.

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
