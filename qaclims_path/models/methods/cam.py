"""Plain class activation maps: a classifier of whole images, whose maps are looked at. Starts all other methods."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from qaclims_path.compute import losses
from qaclims_path.models.methods import METHODS
from qaclims_path.models.methods.method import MapBatch, PairBatch, mean_over_images

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
        """No words here."""
        return False

    def activations(self, logits: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
        """The sigmoid of the maps."""
        return torch.sigmoid(logits)

    def map_losses(self, seen: MapBatch) -> dict[str, Tensor]:
        """Classification, and area where it has a weight."""
        told = losses.classification(seen.scores, seen.present)
        out = {"classification": self.classification * mean_over_images(told, seen)}
        if self.area:
            out["area"] = self.area * mean_over_images(losses.area(seen.activations), seen)
        return out

    def pair_losses(self, pairs: PairBatch) -> dict[str, Tensor]:  # noqa: ARG002
        """None."""
        return {}
