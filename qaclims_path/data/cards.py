"""The shared registry of data sets: cards by name, by path, from a user's folder or from another package.

Searched in this order: a path to a YAML file; the folders in `QACLIMS_DATASETS`; the cards that ship with the package;
entry points of the group `qaclims_path.datasets` (a path to a card.yaml, or a function that returns one).
"""

import os
from importlib.metadata import entry_points
from pathlib import Path

from qaclims_path.assets import asset_dir
from qaclims_path.config import load_tree, parse, read_yaml
from qaclims_path.data.card import Card
from qaclims_path.errors import NotRegistered, UsageError
from qaclims_path.registry import suggest

GROUP = "qaclims_path.datasets"


def card_paths() -> dict[str, Path]:
    """Every known card by name."""
    found = {point.name: _entry_path(point.load()) for point in entry_points(group=GROUP)}
    own = os.environ.get("QACLIMS_DATASETS", "")
    for folder in [asset_dir("datasets"), *(Path(part) for part in own.split(os.pathsep) if part)]:
        found.update({path.parent.name: path for path in sorted(folder.glob("*/card.yaml"))})
    return found


def load_card(name: str | Path) -> Card:
    """Read a card by name, or by the path of a YAML file or of a folder holding a `card.yaml`.

    Example:
        >>> load_card("bcss-wsss").names
        ('tumor', 'stroma', 'lymphocyte', 'necrosis')
    """
    path = _find(str(name), Path.cwd())
    return parse(Card, load_tree(path, lambda reference, file: _find(reference, file.parent)), path)


def card_of(folder: Path, asked: str | Path | Card | None = None, otherwise: object = None) -> Card:
    """Load the card that was asked for, else the one that the `config.yaml` in a folder names, else another.

    Args:
        folder: Folder of a run or of a segmenter.
        asked: Name or path of a card, or a card.
        otherwise: Name or path of the card of a folder that names none.
    """
    if isinstance(asked, Card):
        return asked
    config = folder / "config.yaml"
    name = asked or (read_yaml(config).get("dataset") if config.is_file() else None) or otherwise
    if not isinstance(name, (str, Path)):
        raise UsageError(f"{config} is missing or names no `dataset`. Name the data set with --dataset.")
    return load_card(name)


def _find(name: str, base: Path) -> Path:
    looks_like_path = name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name
    if looks_like_path:
        path = base / name
        return path / "card.yaml" if path.is_dir() else path
    known = card_paths()
    if name not in known:
        raise NotRegistered(
            f"There is no data set '{name}'. {suggest(name, list(known))} A card of your own: --card FILE."
        )
    return known[name]


def _entry_path(loaded: object) -> Path:
    return Path(str(loaded() if callable(loaded) else loaded))
