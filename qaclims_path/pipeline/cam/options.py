"""Options of the training of activation maps: the section `cam` of a recipe, and the keys that stages share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qaclims_path.assets import asset_dir
from qaclims_path.config import Options, Origin, Settings, Tree, merge, parse
from qaclims_path.engine.settings import TrainOptions, check_watched
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.models.methods import METHODS, build_method
from qaclims_path.models.side_spec import SideSpec, Weight, check_weights
from qaclims_path.pipeline.configs import Recipe, SharedOptions, read_recipe, with_seed, without_seed
from qaclims_path.registry import suggest

DEEPEST_LOSS = 0.5  # weight of the loss of the deepest head, as published


class SideOptions(SideSpec):
    """Heads at several depths of the backbone, and what helps them.

    Attributes:
        losses: Weights of the classification losses of the heads, in the order of `stages`, that of the deepest head
            last; they are added to the losses of the averaged maps. If empty, the deepest head has 0.5, and the others
            share 0.5 in the ratio 2 : 3 : 4 and so on, deeper ones more: 0.2 and 0.3 for two, as published.
    """

    losses: tuple[Weight, ...] = ()

    @property
    def spec(self) -> SideSpec:
        """What the network is built from."""
        return SideSpec(**{name: getattr(self, name) for name in SideSpec.model_fields})

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Weight of the loss of each head, that of the deepest last; none without side heads."""
        if self.losses or not self.stages:
            return self.losses
        parts = range(2, len(self.stages) + 2)
        return (*(DEEPEST_LOSS * part / sum(parts) for part in parts), DEEPEST_LOSS)

    @model_validator(mode="after")
    def _has_a_loss_for_each_head(self) -> "SideOptions":
        check_weights("losses", self.losses, self.stages)
        return self


class NetworkOptions(Options):
    """The network of the maps.

    Attributes:
        backbone: A timm name, `hf-hub:owner/name` or `local-dir:PATH`.
        stride: Pixels per cell of the maps.
        dilated: Dilate the kernels of stages whose stride was removed; the published code does not.
        weights: `pretrained`, `none`, a file (.safetensors, .pth, .params), a hub id, or a run.
        freeze_stem: Keep the layers before the first stage as they are, as the published code does.
        head_factor: Learning rate of the heads, as a multiple of the backbone's.
        side: Heads at several depths, whose maps are averaged at the size of the finest.
    """

    backbone: str = "resnet50"
    stride: int = 16
    dilated: bool = True
    weights: str = "pretrained"
    freeze_stem: bool = False
    head_factor: Annotated[float, Field(gt=0)] = 10.0
    side: SideOptions = SideOptions()


class AugmentOptions(Options):
    """Augmentation of training images.

    Attributes:
        style: `tissue` turns and flips every way, `photo` keeps up and down, `published` scales the longer side to
            `long` and crops, or pastes a smaller image anywhere, as the published code does.
        size: Side of the crop in pixels.
        zoom: Smallest and largest factor.
        long: Smallest and largest length of the longer side in pixels, for `published`.
        stain: Strength of the random change of each channel's absorbance.
    """

    style: Literal["tissue", "photo", "published"] = "tissue"
    size: Annotated[int, Field(ge=8)] = 224
    zoom: tuple[float, float] = (0.8, 1.25)
    long: tuple[int, int] = (320, 640)
    stain: Annotated[float, Field(ge=0, lt=1)] = 0.0


class LabelOptions(Options):
    """Meaning of the labels of the training images.

    Attributes:
        of: `tile`: each image shows exactly the classes of its label. `slide`: the label is that of a whole slide. Each
            of its classes is then somewhere in its tiles, whose scores are pooled by a soft maximum, and all others are
            in none of them. For plain maps (`method: cam`) only.
        together: Tiles of a slide whose scores are pooled; with `of: slide` the batch is a multiple of it.
        sharpness: Sharpness of the soft maximum: 0 is the mean, large values come near the maximum.
    """

    of: Literal["tile", "slide"] = "tile"
    together: Annotated[int, Field(ge=2)] = 8
    sharpness: Annotated[float, Field(ge=0)] = 1.0


class InitOptions(Options):
    """Weights that the training starts from.

    Attributes:
        start: `cam` trains plain activation maps first, `none` starts from the backbone; else the folder of a run, or
            the classifier that the authors of CLIMS and QA-CLIMS give away (`res50_cam.pth`).
        keep: Share of the starting weights in the final network; 0 takes the trained weights as they are. It needs a
            `start` other than `none`. Gain and cost of 0.5 (WiSE-FT): docs/results.md.
        train: Options in which the training of those plain maps differs, see `CamOptions.first_train`.
    """

    start: str = "none"
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train: dict[str, Any] = Field(default_factory=dict)


class CamOptions(Options):
    """The section `cam` of a recipe.

    Attributes:
        labels: What the labels say: of tiles, or of whole slides.
        losses: Settings of the registered method `losses.method`; the recipe's `method` if that is not given.
    """

    network: NetworkOptions = NetworkOptions()
    labels: LabelOptions = LabelOptions()
    augment: AugmentOptions = AugmentOptions()
    train: TrainOptions = TrainOptions()
    losses: dict[str, Any] = Field(default_factory=dict)
    init: InitOptions = InitOptions()

    @property
    def first_train(self) -> TrainOptions:
        """Options of the training of the starting maps: `train`, changed by `init.train`."""
        return parse(TrainOptions, merge(self.train.model_dump(mode="json"), self.init.train), "cam.init.train")

    @model_validator(mode="after")
    def _both_trainings_can_be_done(self) -> "CamOptions":
        for train in (self.train, self.first_train):
            check_watched(train)
        return self


@dataclass(frozen=True)
class TrainCamOptions:
    """All options of the training of maps.

    Attributes:
        shared: The top keys of the recipe.
        cam: Section `cam` of the recipe.
        later: Sections of later stages that the run keeps, so that they can be done by hand; they change no training.
    """

    shared: SharedOptions
    cam: CamOptions
    later: Tree = field(default_factory=dict)

    @property
    def tree(self) -> Tree:
        """The options as a recipe."""
        cam = without_seed(self.cam.model_dump(mode="json"), self.shared.seed)
        if cam["labels"]["of"] == "tile":  # runs older than this option keep their hashes
            del cam["labels"]
        if self.cam.network.side == SideOptions():
            del cam["network"]["side"]
        return {**self.shared.model_dump(mode="json"), "cam": cam}


def load_options(recipe: str | Path, settings: Settings = ()) -> TrainCamOptions:
    """Read the options of the training of maps.

    Args:
        recipe: A name such as `voc2012/qa-clims`, or the path of a YAML file.
        settings: Overrides such as `cam.train.epochs=3`, or a dictionary of them.

    Examples:
        >>> load_options("voc2012/cam", {"cam.train.epochs": 3}).cam.train.epochs
        3
    """
    where, found = read_recipe(recipe, settings)
    return TrainCamOptions(found.shared, cam_options(found, where))


def cam_options(recipe: Recipe, where: Origin) -> CamOptions:
    """Parse the section `cam` of a recipe, and check the settings of its method."""
    section = with_seed(recipe.cam, recipe.seed)
    losses = _losses(section.get("losses", {}), recipe.method, where)
    options = parse(CamOptions, {**section, "losses": losses}, where.part("cam"))
    if options.labels.of == "slide":
        _check_slides(options, where)
    return options


def _check_slides(options: CamOptions, where: Origin) -> None:
    """Refuse labels of slides for methods and batches that cannot learn from them."""
    name, together, batch = options.losses["method"], options.labels.together, options.train.batch
    if options.losses != {"method": "cam"}:
        raise BadConfig(
            f"{where.of('cam.labels.of')}: labels of slides train plain maps only, not '{name}' or settings of its "
            "losses, because a slide does not tell which classes a tile shows. Set method=cam, or annotate regions."
        )
    if batch % together:
        raise BadConfig(
            f"{where.of('cam.train.batch')}: a batch of {batch} does not hold {together} tiles of each slide. Set "
            "cam.train.batch to a multiple of cam.labels.together."
        )


def _losses(losses: object, name: str, where: Origin) -> Tree:
    if not isinstance(losses, dict):
        raise BadConfig(f"{where.of('cam.losses')}: 'cam.losses' should hold settings of the method, not {losses!r}.")
    settings = {key: value for key, value in losses.items() if key != "method"}
    method = str(losses.get("method", name))
    files = [found.stem for found in (asset_dir("configs") / "methods").glob("*.yaml")]
    if method not in METHODS:
        origin = where.of("cam.losses.method" if "method" in losses else "method")
        raise NotRegistered(f"{origin}: there is no method '{method}'. {suggest(method, [*files, *METHODS])}")
    build_method(method, settings, where.part("cam.losses"))
    return {"method": method, **settings}
