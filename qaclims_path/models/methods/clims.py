"""CLIMS (Xie et al., CVPR 2022) as in its repository: regions compared with class names and background words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import (
    MapBatch,
    PairBatch,
    cosines,
    floor_loss,
    mean_over_pairs,
    published_map_losses,
    sum_over_pairs,
)

if TYPE_CHECKING:
    from torch import Tensor

Weight = Annotated[float, Field(ge=0)]


@METHODS.add("clims")
@dataclass(frozen=True)
class Clims:
    """Foregrounds should match their class's name but not the background words; backgrounds should not match the name.

    Attributes:
        object_text: Weight of the foreground's match with the name (mean over pairs).
        background_text: Weight of the background's mismatch with the name (mean over pairs).
        background_words: Weight of the foreground's mismatch with the words (sum over pairs and words).
        area: Weight of the mean activation.
        classification: Weight of the classification loss; like the floor, not in the published method.
        floor: Weight of the penalty for a present class whose area falls below `floor_area`.
        floor_area: Share of the image, 0..1.
        word_threshold: Cosines with background words below it add no loss.
        shift: Subtracted from the maps before the sigmoid.
        reference_batch: Batch size that the weight of the sum was chosen for; null for plain sums.
    """

    object_text: Weight = 10.0
    background_text: Weight = 24.0
    background_words: Weight = 1.0
    area: Weight = 0.2
    classification: Weight = 0.0
    floor: Weight = 0.0
    floor_area: Annotated[float, Field(gt=0, lt=1)] = 0.1
    word_threshold: float = 0.26
    shift: float = 0.0
    reference_batch: Annotated[float, Field(gt=0)] | None = 16.0

    def needs_judge(self, progress: float) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def activations(self, logits: "Tensor", present: "Tensor") -> "Tensor":  # noqa: ARG002
        """Return the sigmoid of the shifted maps."""
        return (logits - self.shift).sigmoid()

    def map_losses(self, batch: MapBatch) -> "dict[str, Tensor]":
        """Area, and classification and floor if they have a weight."""
        out = published_map_losses(batch, area=self.area, classification=self.classification)
        return out | floor_loss(batch, self.floor, self.floor_area)

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":
        """Return the three published losses between regions and texts."""
        from qaclims_path.compute import losses

        name = pairs.texts.features[pairs.texts.label]
        object_text = losses.object_text_matching(cosines(pairs.foreground, name))
        background_text = losses.background_text_matching(cosines(pairs.background, name))
        out = {
            "object_text": self.object_text * mean_over_pairs(object_text, pairs.total),
            "background_text": self.background_text * mean_over_pairs(background_text, pairs.total),
        }
        if pairs.words is not None and self.background_words:
            similarity = pairs.foreground @ pairs.words.to(pairs.foreground.dtype).T
            values = losses.cooccurring_background(similarity, self.word_threshold)
            out["background_words"] = self.background_words * sum_over_pairs(values, pairs.images, self.reference_batch)
        return out
