"""Options of a segmentation, in the form that is written into its folder."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options
from qaclims_path.files.made_with import Settings, made_with, refuse_foreign
from qaclims_path.files.shards import ALL, Shard
from qaclims_path.models.segmenters.crf import NONE, Crf

MARK = "segmentation.json"
WAYS_OUT = "Choose another --out, or give the same model and options as before."


class SegmentOptions(Options):
    """Options that affect the results, apart from the model and the inputs.

    Attributes:
        mpp: Pixel size in micrometres at which slides are predicted; that of the training if not given.
        size: Width and height of a tile in pixels of the model; larger images are predicted in squares of this side.
        overlap: Share by which neighbouring tiles of a slide overlap.
        tissue: Method of detecting the tissue of slides.
        min_tissue: Smallest share of a tile that must be tissue.
        flip: Predict mirror images, too, and average.
        crf: Dense CRF that refines the labels of images, as for `qaclims predict`; slides have none.
        glass: `protocol` gives white glass no class where the model was trained without it, `keep` never does.
        confidence: Write confidence maps.
        outline_um: Tolerance in micrometres when outlines in the GeoJSON are simplified.
        least_um2: Smallest area of regions and holes in the GeoJSON; tables count every pixel.
        precision: Numeric precision of the network; `auto` takes the fastest of the hardware.
        backend: Reader of slides: auto, openslide, tiffslide, tiff, or another that is installed.
        kind: Kind of the inputs; `auto` distinguishes slides and images by their files.
    """

    mpp: Annotated[float, Field(gt=0, le=1000)] | None = None
    size: Annotated[int, Field(ge=32, le=8192)] = 512
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    tissue: Literal["otsu", "none", "file"] = "otsu"
    min_tissue: Annotated[float, Field(ge=0, le=1)] = 0.01
    flip: bool = False
    crf: Crf = NONE
    glass: Literal["protocol", "keep"] = "protocol"
    confidence: bool = True
    outline_um: Annotated[float, Field(ge=0)] = 2.0
    least_um2: Annotated[float, Field(ge=0)] = 500.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    backend: str = "auto"
    kind: Literal["auto", "slides", "images"] = "auto"


class ComputeOptions(Options):
    """Options that do not affect the results.

    Attributes:
        device: Device of the model: `auto`, `cpu`, `cuda`, `cuda:1`; several with commas between them share the slides.
        batch: Tiles in a batch; what suits the device if not given.
        shard: Part of the slides and images that this run does.
        organ: Organ of the slides and images; a warning says where the model learnt from another.
        stain: Stain of the slides and images; a warning says where the model learnt from another.
        yes_demo: Let a demonstration model label what is not painted, too.
    """

    device: str = "auto"
    batch: Annotated[int, Field(ge=1)] | None = None
    shard: Shard = ALL
    organ: str = ""
    stain: str = ""
    yes_demo: bool = False


def check_folder(out: Path, settings: Settings, *, write: bool = False) -> None:
    """Refuse a folder of other settings or of another program; `write` notes the settings in a new one."""
    refuse_foreign(out / MARK, "`qaclims segment`")
    made_with(out / MARK, settings, WAYS_OUT, write=write)
