"""Options of the stage `masks`."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options

Share = Annotated[float, Field(ge=0, le=1)]


class MaskOptions(Options):
    """Options of making masks from maps.

    Attributes:
        refiner: `none`, `par`, `crf`, `irn`, or one of another package.
        threshold: Background is predicted where no map is above this number. `protocol` takes that of the protocol
            (0.2 after a random walk, as published), `cross-fitted` the best one for the images of all other patients.
            Where a protocol has no background, `protocol` means that the highest map always wins.
        band: Lower and upper threshold between which training masks are 255.
        least: Training masks are 255 where the confidence of a mask is below this.
        rounds: Iterations of pixel-adaptive refinement.
        unary: Start of the dense CRF: hard labels, or the maps.
        crf: Settings of the dense CRF: `photo` and `segmenter` as published with CLIMS, `tissue` of LPD; `auto` chooses
            by the domain.
        certainty: Probability that the dense CRF gives to hard labels at the start.
        glass: White glass is treated as the `protocol` treats background, or left to the maps (`keep`).
        batch: Images of 224 px at a time; fewer if they are larger.
    """

    refiner: str = "none"
    threshold: Share | Literal["protocol", "cross-fitted"] = "protocol"
    band: tuple[Share, Share] | None = None
    least: Share = 0.0
    rounds: Annotated[int, Field(ge=0, le=1000)] = 10
    unary: Literal["labels", "maps"] = "labels"
    crf: Literal["auto", "photo", "segmenter", "tissue"] = "auto"
    certainty: Annotated[float, Field(gt=0, lt=1)] = 0.7
    glass: Literal["protocol", "keep"] = "protocol"
    batch: Annotated[int, Field(ge=1)] = 16
