"""Options of an evaluation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options
from qaclims_path.models.segmenters.crf import NONE, Crf

PER_IMAGE, COUNTS = "per_image.csv", "counts.csv"  # tables beside the scores
What = Literal["cams", "masks", "seg"]
MadeWith = Literal["none", "oracle", "predicted"]


class ScoreOptions(Options):
    """How predictions are scored, beside the protocol.

    Attributes:
        gate: `none`, `oracle`, or a CSV file of class probabilities; acts on class scores only.
        made_with_gate: Gate that the predictions were made with; labels the table and changes no number.
        allow_missing: Count images without a prediction as wrong everywhere instead of refusing.
        what: Kind of the predictions, for metrics.json.
        bootstrap: Replicates of the 95 % intervals; 0 for none.
        seed: Seed of the bootstrap.
        crf: Dense CRF that first refines class probabilities (.npz) with their images: `none`, a name or numbers as
            for `qaclims predict`.
        sweep: Score every threshold from 0.01 to 0.99 too (class scores without a background channel).
    """

    gate: str | Path | None = None
    made_with_gate: MadeWith | None = None
    allow_missing: bool = False
    what: What | None = None
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
    crf: Crf = NONE
    sweep: bool = False
