"""Folders of the data that ships with the package, in a checkout, an editable install and a wheel."""

from pathlib import Path
from typing import Literal

from qaclims_path.errors import QaclimsError

PACKAGE = Path(__file__).resolve().parent
EMBEDDED = "embedded"  # name of the models that ship with the package
EMBEDDED_WEIGHTS = {"judge": "open_clip_model.safetensors", "answerer": "model.safetensors"}


def asset_dir(kind: Literal["datasets", "configs"]) -> Path:
    """Find `datasets/` or `configs/`: the packaged copy of a wheel, else the folder beside the package."""
    packaged = PACKAGE / "_assets" / kind
    return packaged if packaged.is_dir() else PACKAGE.parent / kind


def asset_name(path: Path) -> str:
    """Name a file for people: one of `configs/` from there on, another by its path.

    Examples:
        >>> asset_name(asset_dir("configs") / "methods" / "cam.yaml")
        'configs/methods/cam.yaml'
    """
    folder = asset_dir("configs")
    return f"configs/{path.relative_to(folder).as_posix()}" if path.is_relative_to(folder) else str(path)


def install_command(extra: str) -> str:
    """Return the command that installs an extra: from the clone that this package runs in, else by its name.

    Examples:
        >>> install_command("dicom")  # doctest: +SKIP
        'pip install -e "/home/me/qaclims_path[dicom]"'
    """
    clone = PACKAGE.parent
    if (clone / "pyproject.toml").is_file() and not (PACKAGE / "_assets").is_dir():
        return f'pip install -e "{clone}[{extra}]"'
    return f'pip install "qaclims-path[{extra}]"'


def embedded_dir() -> Path:
    """Return the folder of the small models that ship with the package; it may not exist."""
    return PACKAGE / "_embedded"


def embedded_model(kind: Literal["judge", "answerer"]) -> Path:
    """Find the folder of an embedded model; an incomplete model is an error.

    Examples:
        >>> embedded_model("judge").name
        'judge'
    """
    folder = embedded_dir() / kind
    if not (folder / EMBEDDED_WEIGHTS[kind]).is_file():
        raise QaclimsError(
            f"This installation has no embedded {kind}. Install the package again (pip install --force-reinstall "
            "qaclims-path), or, in a checkout, make it with scripts/embedded/train.py."
        )
    return folder
