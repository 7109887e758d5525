"""Where the data that ships with the package lies: in a checkout, an editable install and a wheel alike."""

from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parent


def asset_dir(kind: Literal["datasets", "configs"]) -> Path:
    """Find `datasets/` or `configs/`: the packaged copy of a wheel, else the folder beside the package."""
    packaged = PACKAGE / "_assets" / kind
    return packaged if packaged.is_dir() else PACKAGE.parent / kind


def embedded_dir() -> Path:
    """The folder of the small models that ship with the package; it may not exist."""
    return PACKAGE / "_embedded"
