"""Options of the making of maps."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options
from qaclims_path.errors import UsageError

Classes = Literal["present", "predicted", "all"]
Grid = Literal["points", "cells"]


class MapOptions(Options):
    """How maps are made.

    Attributes:
        classes: Classes that get a map: those that the image-level label does not rule out (where it leaves any of a
            split unknown, maps are probabilities, which compare classes, not shares of their own maximum), those that
            the network predicts for the image, or all.
        scales: Factors by which each image and its mirror image are scaled.
        grid: Maps that are scored, and that labels are made from without a random walk: `points`, a value for every 4
            pixels, or `cells`, the network's cells enlarged to the image at once, as in the released code (its grid of
            16 pixels). Maps that compare classes (of all, or of unknown ones) are always `points`.
        precision: Numeric precision; `auto` takes the fastest of the device.
        batch: Images of 224 px at a time; of larger ones fewer.
        device: Device of the network: `auto`, `cpu`, `cuda`, `cuda:1`, ...
    """

    classes: Classes = "present"
    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    grid: Grid = "points"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch: Annotated[int, Field(ge=1)] = 16
    device: str = "auto"


def check_scales(options: MapOptions) -> None:
    """Refuse scales at which no map can be made."""
    if not options.scales or min(options.scales) <= 0:
        raise UsageError("--scales needs at least one number above 0, such as 1 or 0.5,1,1.5,2.")
