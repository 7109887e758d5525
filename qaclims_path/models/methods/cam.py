"""Plain class activation maps of an image classifier, from which all other methods start."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import MapBatch, PairBatch, area_loss, classification_loss

if TYPE_CHECKING:
    from torch import Tensor

Weight = Annotated[float, Field(ge=0)]


@METHODS.add("cam")
@dataclass(frozen=True)
class Cam:
    """Multi-label classification of the pooled maps.

    Attributes:
        classification: Weight of the classification loss.
        area: Weight of the mean activation.
    """

    classification: Weight = 1.0
    area: Weight = 0.0

    def needs_judge(self, progress: float) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def activations(self, logits: "Tensor", present: "Tensor") -> "Tensor":  # noqa: ARG002
        """Return the sigmoid of the maps."""
        return logits.sigmoid()

    def map_losses(self, batch: MapBatch) -> "dict[str, Tensor]":
        """Classification, and area if it has a weight."""
        out = classification_loss(batch, self.classification)
        return out | area_loss(batch, self.area) if self.area else out

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":  # noqa: ARG002
        """No losses."""
        return {}
