"""Lists of prompts: other names of classes, and words for things that are never the object."""

from pathlib import Path

from pydantic import Field

from qaclims_path.assets import asset_dir
from qaclims_path.config import Options, load_tree, parse
from qaclims_path.errors import NotRegistered
from qaclims_path.registry import suggest


class PromptList(Options):
    """A list of `configs/prompts`.

    Attributes:
        source: Reference for the words.
        rename: Names of classes that replace those on the card.
        words: Words for things that are never the object.
    """

    source: str
    rename: dict[str, str] = Field(default_factory=dict)
    words: tuple[str, ...]


def load_prompts(name: str) -> PromptList:
    """Read a list of prompts, by name or by the path of a YAML file."""
    folder = asset_dir("configs") / "prompts"
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = [found.stem for found in folder.glob("*.yaml")]
        raise NotRegistered(f"There is no list of prompts '{name}'. {suggest(name, known)}")
    return parse(PromptList, load_tree(path, lambda reference, file: file.parent / reference), path)
