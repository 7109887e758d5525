"""Plain class activation maps of an image classifier, from which all other methods start."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import MapBatch, PairBatch, mean_over_images

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
        from qaclims_path.compute import losses

        loss = losses.classification(batch.scores, batch.present)
        out = {"classification": self.classification * mean_over_images(loss, batch)}
        if self.area:
            out["area"] = self.area * mean_over_images(losses.area(batch.activations), batch)
        return out

    def pair_losses(self, pairs: PairBatch) -> "dict[str, Tensor]":  # noqa: ARG002
        """No losses."""
        return {}
