"""Options of the training of segmenters: the section `seg` of a recipe."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options, Origin, Settings, Tree, merge, parse
from qaclims_path.engine.settings import LOSS, TrainOptions, check_watched
from qaclims_path.models.segmenters import Term
from qaclims_path.pipeline.cam.options import NetworkOptions, cam_options
from qaclims_path.pipeline.configs import Recipe, read_recipe, with_seed

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=8)]
MIOU = "miou"  # the number that may be watched on a split with masks
USUAL: Tree = {  # defaults of the training
    "epochs": 20,
    "batch": 16,
    "optimizer": "adamw",
    "lr": 1e-4,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "clip": 5.0,
}


class SegNetworkOptions(Options):
    """The network.

    Attributes:
        architecture: `deeplabv3plus`, `unet`, `segformer`, `deeplabv1`, `deeplabv2`, or one of another package.
        encoder: A timm name, `hf-hub:owner/name` or `local-dir:PATH`; a recipe without it uses the maps' backbone.
        weights: Weights of the encoder: `pretrained`, `none`, a file (.safetensors, .pth, .params), a hub id, or a run,
            for its network of the maps; a recipe without encoder and weights uses those of the maps.
        settings: Settings of the architecture, such as `encoder_output_stride: 8` or `scales: [0.5, 0.75]`.
        head_factor: Learning rate of the decoder, as a multiple of the encoder's; its biases learn at twice that,
            without weight decay, as published with DeepLabV2.
    """

    architecture: str = "deeplabv3plus"
    encoder: str = "resnet50"
    weights: str = "pretrained"
    settings: dict[str, Any] = Field(default_factory=dict)
    head_factor: Annotated[float, Field(gt=0)] = 10.0


class MosaicOptions(Options):
    """Mosaics of training images that show exactly one class.

    Attributes:
        share: Probability that a training image is replaced by a mosaic of its size.
        pieces: Sides of pieces in pixels; each mosaic has one of them.
        borders: `free` (curved) or `straight` borders of pieces.
    """

    share: Share = 0.0
    pieces: Annotated[tuple[Annotated[int, Field(ge=4)], ...], Field(min_length=1)] = (16, 32, 64)
    borders: Literal["free", "straight"] = "free"


class SegAugmentOptions(Options):
    """Augmentation of training images.

    Attributes:
        style: `tissue` turns and flips every way, `photo` keeps up and down; `auto` follows the domain.
        size: Side of the crop in pixels.
        zoom: Smallest and largest factor.
        factors: Factors that the zoom is chosen from, in place of any within `zoom`; 0.5, 0.75 and so on to 1.5 or 2 as
            released with DeepLabV2.
        fill: Colour beyond the image: `auto` is white for tissue and grey for photographs, `mean` the mean pixel of the
            encoder, as released with DeepLabV1 and V2. Labels there are ignored.
        pad: Where an image lies that is smaller than the crop: in the `centre`, before padding below and at the right
            (`end`, as released with DeepLabV2), or `anywhere` (as released with DeepLabV1).
        stain: Strength of the random change of each channel's absorbance.
        hsv: Largest change of hue, saturation and value in units of 8-bit images (hue in 180ths of the circle); 10 as
            released with DeepLabV1, 15 in QA-CLIMS.
        blur: Probability of blur.
        noise: Probability of noise.
        mosaic: Mosaics of images with one class, which turn, zoom and change colour like others.
    """

    style: Literal["auto", "tissue", "photo"] = "auto"
    size: Annotated[int, Field(ge=16)] = 224
    zoom: tuple[Factor, Factor] = (0.5, 2.0)
    factors: Annotated[tuple[Factor, ...], Field(min_length=1)] | None = None
    fill: Literal["auto", "mean"] = "auto"
    pad: Literal["centre", "end", "anywhere"] = "centre"
    stain: Annotated[float, Field(ge=0, lt=1)] = 0.15
    hsv: Annotated[int, Field(ge=0, le=90)] = 0
    blur: Share = 0.2
    noise: Share = 0.2
    mosaic: MosaicOptions = MosaicOptions()

    @model_validator(mode="after")
    def _pieces_within_the_crop(self) -> "SegAugmentOptions":
        if self.mosaic.share and max(self.mosaic.pieces) >= self.size:
            raise ValueError(
                f"'mosaic.pieces' should be smaller than the crop, but {max(self.mosaic.pieces)} is not below 'size', "
                f"{self.size}"
            )
        return self

    @model_validator(mode="after")
    def _smallest_first(self) -> "SegAugmentOptions":
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"'zoom' should be the smallest and the largest factor, not {[*self.zoom]}")
        return self


def _usual_terms() -> dict[Term, float]:
    return {"ce": 1.0, "dice": 1.0}


class ForgiveOptions(Options):
    """Forgiveness of wrong labels, in the loss `ce` alone.

    Attributes:
        easy: Weigh the pixels of an image by how low their loss is beside the others, as published with OEEM; images
            whose labels have one class weigh 1. The weights multiply the confidence.
        own: Share of the network's own most likely class in the target (hard bootstrapping); 0.2 is published.
        ramp: Share of the training in which `own` rises from 0.
    """

    easy: bool = False
    own: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ramp: Share = 0.25

    @property
    def changes(self) -> bool:
        """Whether anything is forgiven."""
        return self.easy or self.own > 0


class SegLossOptions(Options):
    """The loss.

    Attributes:
        terms: Weights of the losses `ce`, `focal`, `dice` and `tversky`.
        class_weights: `none`, `balanced` by the root of the inverse frequency of a class, `halves` (background and all
            classes together have half of `ce` each, as published with CLIMS), or a number per class (and `background`)
            by name; classes without a number weigh 1.
        confidence: Weigh pixels by the confidence of their pseudo mask.
        least: Confidence below which a pixel is ignored.
        size: Size at which logits and labels are compared: `image` enlarges logits; `logits` reduces labels to each
            output's size by nearest neighbour and averages over a micro-batch, as released with DeepLabV2.
        forgive: Forgiveness of wrong labels.
    """

    terms: Annotated[dict[Term, Positive], Field(min_length=1)] = Field(default_factory=_usual_terms)
    class_weights: Literal["none", "balanced", "halves"] | dict[str, Annotated[float, Field(ge=0)]] = "none"
    confidence: bool = True
    least: Share = 0.0
    size: Literal["image", "logits"] = "image"
    forgive: ForgiveOptions = ForgiveOptions()

    @model_validator(mode="after")
    def _forgives_ce(self) -> "SegLossOptions":
        if self.forgive.changes and "ce" not in self.terms:
            raise ValueError(
                f"'forgive' changes the loss 'ce', and 'terms' has only {', '.join(self.terms)}; add 'ce' to 'terms'"
            )
        return self

    @model_validator(mode="after")
    def _halves_of_ce(self) -> "SegLossOptions":
        if self.class_weights == "halves" and [*self.terms] != ["ce"]:
            raise ValueError("'class_weights: halves' is for 'terms: {ce: 1}' alone")
        return self


class TrainSegOptions(Options):
    """The section `seg` of a recipe, with the shared keys that it may replace.

    Attributes:
        dataset: Name of a data set, or the path of a card.
        split: Split to train on.
        method: Method that made the masks, for tables.
        truth: Train on the true masks of the split instead of pseudo masks, for supervised rows.
        protocol: Protocol that decides whether background is a class; the card's first when None.
        validate_on: Split with masks that is scored after every epoch, to keep the best one. Published numbers that are
            chosen this way have seen those masks. None keeps the last epoch, unless `train.watch` is `loss`.
    """

    dataset: str
    split: str = "train"
    method: str = "cam"
    truth: bool = False
    protocol: str | None = None
    validate_on: str | None = None
    network: SegNetworkOptions = SegNetworkOptions()
    augment: SegAugmentOptions = SegAugmentOptions()
    loss: SegLossOptions = SegLossOptions()
    train: TrainOptions = TrainOptions(**USUAL)

    @property
    def tree(self) -> Tree:
        """The options as a section of a recipe; those older than options that are off keep their hashes."""
        tree = self.model_dump(mode="json")
        if not self.loss.forgive.changes:
            del tree["loss"]["forgive"]
        if not self.augment.mosaic.share:
            del tree["augment"]["mosaic"]
        return tree

    @model_validator(mode="after")
    def _something_to_watch(self) -> "TrainSegOptions":
        if self.train.watch == MIOU and self.validate_on is None:
            raise ValueError("'train.watch' needs 'validate_on', the split whose mIoU is watched")
        check_watched(self.train, MIOU if self.validate_on else LOSS)
        return self


def load_seg_options(recipe: str | Path, settings: Settings = ()) -> TrainSegOptions:
    """Read the options of the training of a segmenter.

    Args:
        recipe: A name such as `bcss-wsss/cam`, or the path of a YAML file.
        settings: Overrides such as `seg.train.epochs=3`, or a dictionary of them.

    Examples:
        >>> load_seg_options("bcss-wsss/cam", ["seg.network.architecture=unet"]).network.encoder
        'resnet50'
    """
    where, found = read_recipe(recipe, settings)
    return seg_options(found, cam_options(found, where).network, where)


def seg_options(recipe: Recipe, maps: NetworkOptions, where: Origin) -> TrainSegOptions:
    """Parse the section `seg` of a recipe.

    Args:
        recipe: The recipe; its shared keys, seed and protocol stand in for those that the section leaves out.
        maps: The network of the maps, whose backbone and weights stand in for encoder and weights.
        where: Origin of the recipe, for messages.
    """
    network = recipe.seg.get("network") or {}
    if isinstance(network, dict) and "encoder" not in network:
        network = {"weights": maps.weights, **network, "encoder": maps.backbone}
    usual = {
        "dataset": recipe.dataset,
        "split": recipe.split,
        "method": recipe.method,
        "train": USUAL,
    }
    protocol = recipe.seg.get("protocol") or recipe.evaluate.get("protocol")
    section = merge(with_seed(usual, recipe.seed), {**recipe.seg, "network": network, "protocol": protocol})
    return parse(TrainSegOptions, section, where.part("seg"))
