"""YAML files by name, where they ship with the package, or by path, where they are one's own."""

from pathlib import Path

from qaclims_path.assets import asset_dir
from qaclims_path.errors import NotRegistered
from qaclims_path.registry import suggest


def shipped(folder: str) -> dict[str, Path]:
    """The files of a folder of `configs/` by name, in order."""
    return {path.stem: path for path in sorted((asset_dir("configs") / folder).glob("*.yaml"))}


def find_yaml(kind: str, folder: str, name: str, base: Path) -> Path:
    """A file by its name in a folder of `configs/`, or by its path from `base`.

    Example:
        >>> find_yaml("lexicon", "lexicons", "histology", Path()).name
        'histology.yaml'
    """
    if name.endswith((".yaml", ".yml")):
        return base / name
    known = shipped(folder)
    if name not in known:
        raise NotRegistered(
            f"There is no {kind} '{name}'. {suggest(name, list(known))} One of your own: the path of its YAML file."
        )
    return known[name]
