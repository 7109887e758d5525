"""QA-CLIMS (Deng et al., ACM MM 2023) as in its repository: regions compared with answers about the same image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import (
    MapBatch,
    PairBatch,
    cosines,
    floor_loss,
    published_map_losses,
    sum_over_pairs,
)

if TYPE_CHECKING:
    from torch import Tensor

Weight = Annotated[float, Field(ge=0)]


@METHODS.add("qa-clims")
@dataclass(frozen=True)
class QaClims:
    """Foregrounds should match the answers about the class, backgrounds the answers about its surroundings.

    Attributes:
        foreground: Weight of the foreground contrast (sum over pairs).
        background: Weight of the background contrast (sum over pairs).
        area: Weight of the mean activation.
        classification: Weight of the classification loss; like the floor, not in the published method.
        floor: Weight of the penalty for a present class whose area falls below `floor_area`.
        floor_area: Share of the image, 0..1.
        temperature: Divisor of cosines.
        label_share: Weight of the class name in the text of a class, 0..1; the rest is the mean of the answers.
        shift: Subtracted from the maps before the sigmoid.
        reference_batch: Batch size that the weights of the sums were chosen for; null for plain sums.
    """

    foreground: Weight = 10.0
    background: Weight = 8.0
    area: Weight = 0.2
    classification: Weight = 0.0
    floor: Weight = 0.0
    floor_area: Annotated[float, Field(gt=0, lt=1)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.7
    label_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    shift: float = 0.0
    reference_batch: Annotated[float, Field(gt=0)] | None = 4.0

    def needs_judge(self, progress: float) -> bool:  # noqa: ARG002
        """Always, if one of the contrasts has a weight."""
        return self.foreground + self.background > 0

    def activations(self, logits: "Tensor", present: "Tensor") -> "Tensor":  # noqa: ARG002
        """Return the sigmoid of the shifted maps."""
        return (logits - self.shift).sigmoid()

    def map_losses(self, batch: MapBatch) -> "dict[str, Tensor]":
        """Area, and classification and floor if they have a weight."""
        out = published_map_losses(batch, area=self.area, classification=self.classification)
        return out | floor_loss(batch, self.floor, self.floor_area)

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":
        """Return the two published contrastive losses."""
        from qaclims_path.compute import losses
        from qaclims_path.compute.texts import mixed_texts

        texts = pairs.texts
        own = mixed_texts(texts, self.label_share)
        owner = texts.background_owner
        around = texts.features[texts.background]
        foreground = losses.foreground_contrast(
            cosines(pairs.foreground, own), cosines(pairs.foreground[owner], around), owner, self.temperature
        )
        background = losses.background_contrast(
            cosines(pairs.background[owner], around), cosines(pairs.background, own), owner, self.temperature
        )
        return {
            "foreground": self.foreground * sum_over_pairs(foreground, pairs.images, self.reference_batch),
            "background": self.background * sum_over_pairs(background, pairs.images, self.reference_batch),
        }
