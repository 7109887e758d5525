"""Options of predictions."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options
from qaclims_path.models.segmenters.crf import NONE, Crf


class PredictOptions(Options):
    """How images are labelled.

    Attributes:
        write: `labels` are PNG files in the codes of the data set, `scores` class probabilities as `.npz`.
        scales: Factors by which an image is scaled; predictions are averaged over them.
        flip: Also average over the mirror image.
        average: What is averaged: `probabilities`, or `logits`, which scales images cubically and aligns corners, as
            released with WideResNet-38.
        crf: Dense CRF that refines the probabilities with the image: `none`, `deeplabv2`, `deeplabv2-published` (which
            sees the picture that the released code casts to bytes), `wideresnet38`, `tissue`, or six numbers such as
            10,1,3,67,3,4: rounds, pixels and weight of smoothness, pixels, levels and weight of appearance.
        window: Side in pixels of half overlapping squares that larger images are cut into; not cut if not given.
        stride: Pixels per cell of stored scores, and of the confidence beside labels.
        precision: Numeric precision; `auto` takes the fastest of the device.
        batch: Images of 224 px at a time; of larger ones fewer.
        device: Device of the network: `auto`, `cpu`, `cuda`, `cuda:1`, ...
    """

    write: Literal["labels", "scores"] = "labels"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    average: Literal["probabilities", "logits"] = "probabilities"
    crf: Crf = NONE
    window: Annotated[int, Field(ge=32)] | None = None
    stride: Annotated[int, Field(ge=1)] = 4
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch: Annotated[int, Field(ge=1)] = 16
    device: str = "auto"
