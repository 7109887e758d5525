"""The folder of a CamNet: its files, and the settings beside its weights, which are read without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from qaclims_path.errors import BadFile

SETTINGS, WEIGHTS = "camnet.json", "camnet.safetensors"
SCHEMA = 1


def read_settings(folder: Path) -> dict[str, Any]:
    """Read and check the settings beside the weights of a CamNet."""
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadFile(f"{folder} holds no {SETTINGS}, so it is not a trained CamNet.") from error
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Copy it again from its run.") from error
    keys = {"schema", "classes", "backbone", "stride", "dilated"}
    if not isinstance(settings, dict) or not keys <= settings.keys() or not isinstance(settings["backbone"], dict):
        raise BadFile(f"{path} needs the keys {', '.join(sorted(keys))}. Copy it again from its run.")
    if settings["schema"] != SCHEMA:
        raise BadFile(f"{path} has schema {settings['schema']}, but this version reads {SCHEMA}. Update qaclims_path.")
    return cast("dict[str, Any]", settings)


def demonstration_of(settings: Mapping[str, Any]) -> str:
    """Return the made-up material that a CamNet learnt from, by its settings; empty for real images."""
    return str(settings.get("demonstration", ""))


def network_folder(folder: Path) -> Path:
    """Return the folder of a CamNet: the folder itself, or `cam/` in the folder of a run."""
    cam = folder / "cam"
    return cam if not (folder / SETTINGS).is_file() and cam.is_dir() else folder
