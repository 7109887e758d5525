"""QA-CLIMS for tissue, with parts that can each be switched off.

Unlike a photograph, tissue has no empty background: around a tumour is other tissue. So the present classes compete for
pixels, texts of other classes are negatives of a foreground, and a background should match the other classes in the
image. Classification is always trained, because with contrastive losses alone the maps lose classes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import (
    MapBatch,
    PairBatch,
    area_loss,
    classification_loss,
    floor_loss,
    mean_over_pairs,
)

if TYPE_CHECKING:
    from torch import Tensor

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

    def activations(self, logits: "Tensor", present: "Tensor") -> "Tensor":
        """Return the sigmoid of the maps, or the shares of the classes that may be present in each pixel."""
        from qaclims_path.models.methods import contrasts

        if self.competition == "none":
            return (logits - self.shift).sigmoid()
        return contrasts.shares(logits, present, rest=self.competition == "rest")

    def map_losses(self, batch: MapBatch) -> "dict[str, Tensor]":
        """Classification, and area and floor if they have a weight."""
        out = classification_loss(batch, self.classification)
        if self.area:
            out |= area_loss(batch, self.area)
        return out | floor_loss(batch, self.floor, self.floor_area)

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":
        """Return the two contrastive losses, with their weights at this point of the training."""
        from qaclims_path.models.methods import contrasts

        weight = self.language(pairs.progress)
        foreground = contrasts.foreground(
            pairs, negatives=self.negatives, sharpness=self.sharpness, temperature=self.temperature
        )
        background = contrasts.background(
            pairs, beside=self.beside, sharpness=self.sharpness, temperature=self.temperature
        )
        return {
            "foreground": weight * self.foreground * mean_over_pairs(foreground, pairs.total),
            "background": weight * self.background * mean_over_pairs(background, pairs.total),
        }
