"""YAML files of the package by name, and a user's own by path."""

from pathlib import Path

from qaclims_path.assets import asset_dir
from qaclims_path.errors import NotRegistered
from qaclims_path.registry import suggest


def shipped_files(folder: str) -> dict[str, Path]:
    """Return files in a folder of `configs/` by name, in alphabetical order."""
    return {path.stem: path for path in sorted((asset_dir("configs") / folder).glob("*.yaml"))}


def find_yaml(kind: str, folder: str, name: str, base: Path) -> Path:
    """Find a file by its name in a folder of `configs/`, or by its path relative to `base`.

    Examples:
        >>> find_yaml("lexicon", "lexicons", "histology", Path()).name
        'histology.yaml'
    """
    if name.endswith((".yaml", ".yml")):
        return base / name
    known = shipped_files(folder)
    if name not in known:
        raise NotRegistered(
            f"There is no {kind} '{name}'. {suggest(name, list(known))} For your own, give the path of a YAML file."
        )
    return known[name]
