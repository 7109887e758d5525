"""Options of the probe of a judge, and of the training of a small one."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options


class JudgeProbeOptions(Options):
    """How a judge is loaded and probed.

    Attributes:
        split: Split to look at; the first with masks if not given.
        questions: Question bank whose templates name the classes; that of the card's domain if not given.
        limit: Largest number of images to look at, chosen with the seed; all if not given.
        mode: Way in which a region is cut out of its image.
        fill: Replacement for the pixels outside a region.
        revision: Branch, tag or commit of the judge on the hub.
        device: Device of the judge: auto, cpu, cuda, cuda:1, ...
        seed: Seed of the choice of images.
    """

    split: str | None = None
    questions: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    mode: Literal["soft", "hard", "published", "mask-prompt", "crop"] = "soft"
    fill: Literal["zero", "mean", "white", "blur"] = "zero"
    revision: str | None = None
    device: str = "auto"
    seed: Annotated[int, Field(ge=0)] = 0


class JudgeTrainOptions(Options):
    """Options that the weights of a small judge depend on.

    Attributes:
        size: Side of the input in pixels.
        tower: Image tower, by timm's name; the default has 0.4 million weights, `resnet10t` has 5 million.
        width: Length of a feature vector.
        epochs: Passes over the images.
        batch: Images in a step; the tower sees two or three views of each.
        lr: Highest learning rate.
        weight_decay: Weight decay of the matrices.
        seed: Seed of all random numbers.
        questions: Question bank of the captions; that of the card's domain if empty.
    """

    size: Annotated[int, Field(ge=32, le=512)] = 112
    tower: str = "test_resnet"
    width: Annotated[int, Field(ge=8)] = 128
    epochs: Annotated[int, Field(ge=1)] = 30
    batch: Annotated[int, Field(ge=2)] = 16
    lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    seed: Annotated[int, Field(ge=0)] = 0
    questions: str = ""
