"""Options of a tiling, in the form that is written into its folder."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options
from qaclims_path.files.made_with import Settings, made_with, named_changes, refuse_foreign
from qaclims_path.files.shards import ALL, Shard
from qaclims_path.slides.cohort.slide_list import TILED

Share = Annotated[float, Field(ge=0, le=1)]
BACKGROUND, UNKNOWN = (255, 255, 255), (200, 200, 200)  # colours of undrawn pixels in masks: complete, sparse
TRAIN = "train"
MASKS, TRAIN_MASKS = "masks", "train-masks"  # folders of masks; only supervised rows read the second


class TileOptions(Options):
    """Options that affect the tiles, apart from the slides and the files that describe them.

    Attributes:
        mpp: Pixel size of the tiles in micrometres.
        size: Width and height of a tile in pixels.
        stride: Pixels from one tile to the next.
        min_tissue: Smallest share of a tile that must be tissue.
        tissue: Method of detecting tissue.
        pens: Exclude pen marks.
        blur: Exclude tissue that is out of focus.
        present_from: Share of a tile from which a class counts as present.
        split_by: Unit that goes to one split as a whole: patient or slide.
        split_shares: Shares of training, validation and test.
        write: Format of written pixels; `none` writes no pixels.
        stain: Stain normalisation.
        annotations: Meaning of area on which nothing is drawn: `sparse`, nobody looked there, so its classes are
            unknown; `complete`, it holds none of the classes. It must be given where area is undrawn.
        masks: Draw the regions of --labels as masks of the validation and test tiles.
        train_masks: Draw those of training tiles, too, as a split of their own, for supervised rows only.
        backend: Reader of slides: auto, openslide, tiffslide, tiff, or another that is installed.
        seed: Seed of the splits and the stain fits.
    """

    mpp: Annotated[float, Field(gt=0, le=1000)]
    size: Annotated[int, Field(ge=1, le=16384)] = 224
    stride: Annotated[float, Field(ge=1)]
    min_tissue: Share = 0.5
    tissue: Literal["otsu", "none", "file"] = "otsu"
    pens: bool = False
    blur: bool = False
    present_from: Share = 0.05
    split_by: Literal["patient", "slide"] = "patient"
    split_shares: tuple[Share, Share, Share] = (0.7, 0.15, 0.15)
    write: Literal["none", "jpeg", "png", "webp"] = "none"
    stain: Literal["none", "macenko", "reinhard"] = "none"
    annotations: Literal["sparse", "complete"] | None = None
    masks: bool = False
    train_masks: bool = False
    backend: str = "auto"
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _shares_add_up(self) -> "TileOptions":
        if abs(sum(self.split_shares) - 1) > 1e-6:
            raise ValueError(f"the shares of the splits add up to {sum(self.split_shares):g}, not to 1")
        return self

    def masked(self, split: str) -> bool:
        """Return whether tiles of a split get masks; training tiles only need labels."""
        return self.train_masks if split == TRAIN else self.masks

    @property
    def sparse(self) -> bool:
        """Whether nothing is known of area on which nothing is drawn."""
        return self.annotations == "sparse"


class WorkOptions(Options):
    """Options that do not affect the results.

    Attributes:
        workers: Processes on this machine.
        shard: Part of the slides that this run does.
        engine: `local`, or `ray` for a Ray cluster that is running.
    """

    workers: Annotated[int, Field(ge=1)] = 1
    shard: Shard = ALL
    engine: Literal["local", "ray"] = "local"


def check_folder(out: Path, options: TileOptions, *, write: bool = False) -> None:
    """Refuse a folder of other options or of another program; `write` notes the options in a new one."""
    refuse_foreign(out / TILED, "`qaclims slides tile`")
    defaults = {key: field.default for key, field in TileOptions.model_fields.items() if not field.is_required()}
    defaults["annotations"] = "complete"  # of folders that are older than this option
    settings = options.model_dump(mode="json")
    made_with(out / TILED, settings, defaults=defaults, describe=_changed_options, write=write)


def _changed_options(before: Settings, now: Settings) -> str:
    old, new = ({f"--{key.replace('_', '-')}": value for key, value in each.items()} for each in (before, now))
    return named_changes(old, new)
