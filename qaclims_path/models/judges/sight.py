"""Input size and pixel size of a judge, read from the files of its folder; nothing is loaded or downloaded."""

import json
from pathlib import Path

from qaclims_path.assets import EMBEDDED, embedded_model
from qaclims_path.files.hub import LOCAL
from qaclims_path.models.judges.notes import read_notes

CONFIGS = {"open_clip_config.json": ("model_cfg", "vision_cfg"), "config.json": ("vision_config",)}


def sight_of(id: str) -> tuple[int | None, float | None]:  # noqa: A002 - as models are called everywhere
    """Return side of the input in pixels and pixel size in micrometres; None where the folder does not tell.

    Examples:
        >>> sight_of("embedded")
        (112, 1.0)
    """
    folder = embedded_model("judge") if id == EMBEDDED else Path(id.removeprefix(LOCAL)).expanduser()
    if not folder.is_dir():
        return None, None
    sides = (_side(folder / file, keys) for file, keys in CONFIGS.items() if (folder / file).is_file())
    return next(sides, None), read_notes(folder).mpp


def _side(path: Path, keys: tuple[str, ...]) -> int | None:
    """Read the size of images from a configuration; None where it has none, which loading will report."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            tree = tree[key]
        size = tree["image_size"]
        return int(size[0] if isinstance(size, list) else size)
    except (OSError, ValueError, TypeError, LookupError):
        return None
