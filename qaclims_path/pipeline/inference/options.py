"""What decides the label maps of a folder, as it is written beside them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options
from qaclims_path.files.made_with import Settings, made_with, refuse_foreign

MARK = "segmentation.json"
WAYS_OUT = "Choose another --out, or give the same model and options as before."


class SegmentOptions(Options):
    """Everything that changes what is written, but the model and the inputs.

    Attributes:
        mpp: Pixel size at which the model looks at slides, in micrometres; the one it was trained at when None.
        size: Width and height of a tile in pixels of the model; larger images are looked at in squares of this side.
        overlap: Share by which neighbouring tiles of a slide overlap.
        tissue: How the tissue of slides is found.
        min_tissue: Least share of a tile that is tissue.
        flip: Whether mirror images are looked at, too.
        glass: `protocol` gives white glass no class where the model was trained without it, `keep` never does.
        confidence: Whether confidence maps are written.
        outline_um: How far outlines in the GeoJSON may move when they are simplified.
        least_um2: Areas and holes below this are left out of the GeoJSON; tables count every pixel.
        precision: Of the network; `auto` takes what the hardware is fastest at.
        backend: Which reader opens the slides.
        kind: What inputs are; `auto` tells slides from images by their files.
    """

    mpp: Annotated[float, Field(gt=0, le=1000)] | None = None
    size: Annotated[int, Field(ge=32, le=8192)] = 512
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    tissue: Literal["otsu", "none", "file"] = "otsu"
    min_tissue: Annotated[float, Field(ge=0, le=1)] = 0.01
    flip: bool = False
    glass: Literal["protocol", "keep"] = "protocol"
    confidence: bool = True
    outline_um: Annotated[float, Field(ge=0)] = 2.0
    least_um2: Annotated[float, Field(ge=0)] = 500.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    backend: str = "auto"
    kind: Literal["auto", "slides", "images"] = "auto"


def check_folder(out: Path, settings: Settings, *, write: bool = False) -> None:
    """Refuse a folder of other settings or of another program; `write` notes the settings in a new one."""
    refuse_foreign(out / MARK, "`qaclims segment`")
    made_with(out / MARK, settings, WAYS_OUT, write=write)
