"""Options of the stages `masks` and `boundary`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options, Origin, Tree, merge, override, parse
from qaclims_path.engine.settings import TrainOptions, check_watched
from qaclims_path.errors import BadConfig
from qaclims_path.pipeline.configs import with_seed

BOUNDARY = "boundary"  # part of the section `masks` in a recipe, and folder in a run
SECTION = f"masks.{BOUNDARY}."
USUAL: Tree = {"epochs": 3, "batch": 16, "lr": 0.01}  # a tenth of the published rate, as momentum is 0.9 and not 0.0001
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


class BoundaryOptions(Options):
    """Training of the boundary network; defaults as published with IRN, except crop, batch, rate and momentum.

    Attributes:
        split: Split whose maps are turned into labels.
        backbone: `cam` takes the backbone of the run's own network; else a timm name or `hf-hub:...`.
        weights: Weights of another backbone: `pretrained`, a file, or `hf-hub:...`.
        band: Thresholds below which background and above which a class is confident, where a protocol has background.
        least: Confidence above which a label is used, where a protocol has no background.
        crf: Settings of the dense CRF.
        size: Side of a crop in pixels.
        zoom: Smallest and largest scale.
        radius: Largest distance of a pair of pixels, in cells of 4 pixels.
        pairs: `all` pairs of a crop are learnt from, or those `inside`, whose first cell has all its neighbours in the
            crop, as the released loss does.
        train: Options of the engine.
    """

    split: str = "train"
    backbone: str = "cam"
    weights: str = "pretrained"
    band: tuple[float, float] = (0.1, 0.3)
    least: Annotated[float, Field(ge=0, lt=1)] = 0.7
    crf: Literal["auto", "photo", "segmenter", "tissue"] = "auto"
    size: Annotated[int, Field(ge=32)] = 224
    zoom: tuple[float, float] = (0.5, 1.5)
    radius: Annotated[int, Field(ge=2)] = 10
    pairs: Literal["all", "inside"] = "all"
    train: TrainOptions = TrainOptions(**USUAL)

    @model_validator(mode="after")
    def _something_to_watch(self) -> "BoundaryOptions":
        check_watched(self.train)
        return self


def load_boundary_options(
    settings: Sequence[str], split: str | None = None, kept: Tree | None = None
) -> BoundaryOptions:
    """Read the options of the training of a boundary network from overrides.

    Args:
        settings: Overrides such as `masks.boundary.train.epochs=5`.
        split: Split of the maps; that of `kept`, or else `train`, when None.
        kept: Settings of the run, below the overrides; see `run.options.kept_settings`.

    Examples:
        >>> load_boundary_options(["masks.boundary.train.epochs=5"], "train").train.epochs
        5
    """
    for setting in settings:
        if not setting.startswith(SECTION):
            raise BadConfig(f"--set {setting}: name the key as a recipe does, {SECTION}{setting}.")
    below = merge(kept or {}, {} if split is None else {"split": split})
    section = override(below, [setting.removeprefix(SECTION) for setting in settings])
    return boundary_options(section, "train", SECTION.removesuffix("."))


def boundary_options(section: Tree, split: str, where: Origin | str, *, seed: int = 0) -> BoundaryOptions:
    """Parse the section `masks.boundary` of a recipe, over the defaults of its training.

    Args:
        section: The section.
        split: Split of the maps, unless the section names its own.
        where: Origin of the section, for messages.
        seed: Seed of the recipe, unless the section names its own.
    """
    return parse(BoundaryOptions, merge(with_seed({"split": split, "train": USUAL}, seed), section), where)
