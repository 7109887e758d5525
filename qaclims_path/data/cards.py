"""Find data set cards by name or path.

A name is looked up in this order: the folders in the environment variable `QACLIMS_DATASETS`; the cards shipped with
the package; entry points of the group `qaclims_path.datasets` (a path of a card.yaml, or a function that returns one).
"""

import os
from importlib.metadata import entry_points
from pathlib import Path

from qaclims_path.assets import asset_dir
from qaclims_path.config import load_tree, parse, read_yaml
from qaclims_path.data.card import Card
from qaclims_path.errors import NotRegistered, QaclimsError, UsageError
from qaclims_path.registry import suggest

GROUP = "qaclims_path.datasets"
CARD = "card.yaml"


def card_paths() -> dict[str, Path]:
    """List the paths of all known cards by name."""
    paths = {point.name: _entry_path(point.load()) for point in entry_points(group=GROUP)}
    user_folders = os.environ.get("QACLIMS_DATASETS", "")
    for folder in [asset_dir("datasets"), *(Path(part) for part in user_folders.split(os.pathsep) if part)]:
        paths.update({path.parent.name: path for path in sorted(folder.glob(f"*/{CARD}"))})
    return paths


def load_card(name: str | Path) -> Card:
    """Load a card by name, or by the path of a YAML file or of a folder with a `card.yaml`.

    Examples:
        >>> load_card("bcss-wsss").names
        ('tumor', 'stroma', 'lymphocyte', 'necrosis')
    """
    path = _find(str(name), Path.cwd())
    return parse(Card, load_tree(path, lambda reference, file: _find(reference, file.parent)), path)


def card_of(folder: Path, requested: str | Path | Card | None = None, default: object = None) -> Card:
    """Load the requested card; without one, the card that `config.yaml` in a folder names, else the default.

    Args:
        folder: Folder of a run or of a segmenter.
        requested: Name or path of a card, or a card.
        default: Name or path of the card if the folder names none.
    """
    if isinstance(requested, Card):
        return requested
    config = folder / "config.yaml"
    name = requested or (read_yaml(config).get("dataset") if config.is_file() else None) or default
    if not isinstance(name, (str, Path)):
        raise UsageError(f"{config} is missing or names no `dataset`. Name the data set with --dataset.")
    return load_card(name)


def suggest_own(card: Card, root: Path, otherwise: str) -> str:
    """Suggest the card that lies in the folder of a data set; another sentence where there is none, or it is in use."""
    path = root / CARD
    try:
        name = read_yaml(path).get("name") if path.is_file() else card.name
    except QaclimsError:  # a damaged card is no way out
        return otherwise
    if name == card.name:
        return otherwise
    return f"The folder has its own card: use it with --set dataset={path} for a recipe, with --card {path} otherwise."


def _find(name: str, base: Path) -> Path:
    is_path = name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name
    if is_path:
        path = base / name
        return path / CARD if path.is_dir() else path
    known = card_paths()
    if name not in known:
        raise NotRegistered(
            f"There is no data set '{name}'. {suggest(name, list(known))} For a card of your own, use --card FILE."
        )
    return known[name]


def _entry_path(loaded: object) -> Path:
    return Path(str(loaded() if callable(loaded) else loaded))
