"""Options of the training of activation maps, and where they come from: a recipe, its method, and overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options, Tree, merge, parse
from qaclims_path.engine.settings import TrainOptions, check_watched
from qaclims_path.errors import BadConfig
from qaclims_path.pipeline.configs import SECTIONS, read_recipe
from qaclims_path.registry import suggest


class NetworkOptions(Options):
    """The network of the maps.

    Attributes:
        backbone: A timm name, `hf-hub:owner/name` or `local-dir:PATH`.
        stride: Pixels per cell of the maps.
        dilated: False as published: stages whose stride was taken away keep narrow kernels.
        weights: `pretrained`, `none`, a .safetensors file, a hub id, or a run.
        freeze_stem: True as published: what stands before the first stage is not trained.
        head_factor: How much faster the head learns than the backbone.
    """

    backbone: str = "resnet50"
    stride: int = 16
    dilated: bool = True
    weights: str = "pretrained"
    freeze_stem: bool = False
    head_factor: Annotated[float, Field(gt=0)] = 10.0


class AugmentOptions(Options):
    """What happens to an image before it is learnt from.

    Attributes:
        style: `tissue` turns and flips every way, `photo` keeps up and down, `published` scales the longer side to
            `long` and crops, or places a smaller image anywhere, as the published code does.
        size: Side of the crop in pixels.
        zoom: Smallest and largest factor.
        long: Smallest and largest length of the longer side, for `published`.
        stain: Strength of the change of each channel's absorbance.
    """

    style: Literal["tissue", "photo", "published"] = "tissue"
    size: Annotated[int, Field(ge=8)] = 224
    zoom: tuple[float, float] = (0.8, 1.25)
    long: tuple[int, int] = (320, 640)
    stain: Annotated[float, Field(ge=0, lt=1)] = 0.0


class JudgeOptions(Options):
    """Who compares regions with texts, and what it is shown.

    Attributes:
        id: A hub id, a folder, or as its family names it; needed by methods with language.
        revision: Of the hub.
        mode: How a region is shown.
        fill: What is shown where it is not.
        dtype: Precision of the judge.
        published_pixels: Whether it gets the backbone's normalised pixels, as the original code does.
        glass: `hide` leaves white glass out of regions, areas and pooling.
        scale: `fit` shows whole images; `own` a window at the pixel size that the judge was trained at; `auto` that
            where both pixel sizes are known.
        turned: Whether it is shown every step's regions from another of eight sides, because tissue has no up and down;
            without it, maps follow a judge that likes one half of a picture better.
        centred: Whether what all texts (and all images) have in common is taken away from their vectors.
        chunk: Pairs that it looks at at once; fewer need less memory, and gradients stay exact.
    """

    id: str | None = None
    revision: str | None = None
    mode: Literal["soft", "hard", "published", "mask-prompt", "crop"] = "soft"
    fill: Literal["zero", "mean", "white", "blur"] = "zero"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    published_pixels: bool = False
    glass: Literal["show", "hide"] = "show"
    scale: Literal["fit", "own", "auto"] = "fit"
    turned: bool = False
    centred: bool = False
    chunk: Annotated[int, Field(ge=1)] = 64


class WordsOptions(Options):
    """Where the texts come from.

    Attributes:
        bank: Question bank, for its templates.
        source: `answers` of the corpus; `knowledge`, the phrases on the card; `names` of the classes alone; `shuffled`,
            the answers about another image of the same class.
        prompts: A list of `configs/prompts` (or a YAML file): other names of classes, and words for what is never the
            object.
        shared: Answers of a class that stand for it in images without any, and against other classes; the most frequent
            first.
    """

    bank: str = "histology"
    source: Literal["answers", "knowledge", "names", "shuffled"] = "names"
    prompts: str | None = None
    shared: Annotated[int, Field(ge=0)] = 10


class InitOptions(Options):
    """What the training starts from.

    Attributes:
        start: `cam` trains plain activation maps first, `none` starts from the backbone, anything else is the folder of
            a run.
        keep: Share of the weights of that start in the network at the end; 0 takes what was learnt as it is, and where
            `start` is `none` there is nothing to keep. What halfway (0.5, WiSE-FT) wins and costs: docs/results.md.
        train: What is different in the training of these maps, see `TrainCamOptions.first_train`.
    """

    start: str = "none"
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train: dict[str, Any] = Field(default_factory=dict)


class TrainCamOptions(Options):
    """Training of activation maps.

    Attributes:
        dataset: Name of a data set, or the path of a card.
        split: To train on.
        method: As it is called in tables; a file of `configs/methods`, or a registered method.
        losses: Settings of the registered method `losses.method`, `method` itself where that is not given.
        published: Whether the released code is followed with its quirks, see `configs/published`.
    """

    dataset: str
    split: str = "train"
    method: str = "cam"
    losses: dict[str, Any] = Field(default_factory=dict)
    published: bool = False
    network: NetworkOptions = NetworkOptions()
    augment: AugmentOptions = AugmentOptions()
    train: TrainOptions = TrainOptions()
    judge: JudgeOptions = JudgeOptions()
    words: WordsOptions = WordsOptions()
    init: InitOptions = InitOptions()

    @property
    def first_train(self) -> TrainOptions:
        """The training of the maps that are started from: as `train`, but for what `init.train` says."""
        return parse(TrainOptions, merge(self.train.model_dump(mode="json"), self.init.train), "init.train")

    @model_validator(mode="after")
    def _both_trainings_can_be_done(self) -> "TrainCamOptions":
        for train in (self.train, self.first_train):
            check_watched(train)
        return self


def load_options(recipe: str | Path, settings: Sequence[str] = ()) -> TrainCamOptions:
    """Read what a recipe says of the training of maps.

    Args:
        recipe: A name such as `voc2012/qa-clims`, or the path of a YAML file.
        settings: Overrides such as `train.epochs=3`.

    Example:
        >>> load_options("voc2012/cam", ["train.epochs=3"]).train.epochs
        3
    """
    path, tree = read_recipe(recipe, settings)
    return cam_options(tree, path)


def cam_options(tree: Tree, where: object) -> TrainCamOptions:
    """The options of the training of maps, from a whole recipe; its sections belong to other stages."""
    known = [*TrainCamOptions.model_fields, *SECTIONS]
    strange = next((key for key in tree if key not in known), None)
    if strange is not None:
        raise BadConfig(f"{where}: unknown key '{strange}'. {suggest(strange, known)}")
    return parse(TrainCamOptions, {key: value for key, value in tree.items() if key not in SECTIONS}, where)
