"""Options of made-up data sets and of tiles of large images."""

from typing import Annotated

from pydantic import Field

from qaclims_path.config import Options


class FakeOptions(Options):
    """Size and seed of a made-up data set.

    Attributes:
        images: Images per split.
        seed: Seed of all pixels; the same seed writes the same pixels.
        slides: Whole slides with their truth and QuPath regions, in the folder `slides` (phantom only).
        slide_size: Side of a slide in pixels (phantom only).
    """

    images: Annotated[int, Field(ge=1)] = 6
    seed: Annotated[int, Field(ge=0)] = 0
    slides: Annotated[int, Field(ge=0)] = 0
    slide_size: Annotated[int, Field(ge=256)] = 4096


class CutOptions(Options):
    """Tiles of large images.

    Attributes:
        size: Width and height of a tile in pixels.
        stride: Pixels from one tile to the next; the size if not given.
        mpp: Pixel size of the tiles in micrometres; that of the images if not given.
    """

    size: Annotated[int, Field(ge=1, le=16384)] = 224
    stride: Annotated[float, Field(ge=1)] | None = None
    mpp: Annotated[float, Field(gt=0, le=1000)] | None = None
