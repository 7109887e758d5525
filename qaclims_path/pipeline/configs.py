"""Find, extend and merge recipes and lists of prompts."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from qaclims_path.assets import asset_dir
from qaclims_path.config import Options, Tree, load_tree, merge, override, parse
from qaclims_path.errors import BadConfig, NotRegistered, UsageError
from qaclims_path.registry import suggest

SECTIONS = ("corpus", "cams", "boundary", "masks", "seg", "evaluate")  # of a recipe, for the other stages of a run


class PromptList(Options):
    """A list of `configs/prompts`.

    Attributes:
        source: Where the words are from.
        rename: What classes are called instead of their names on the card.
        words: For what is never the object.
    """

    source: str
    rename: dict[str, str] = Field(default_factory=dict)
    words: tuple[str, ...]


def recipe_names() -> list[str]:
    """Recipes that ship with the package, as `dataset/method`."""
    folder = asset_dir("configs") / "recipes"
    return sorted(f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.yaml") if path.stem != "base")


def read_recipe(recipe: str | Path, settings: Sequence[str] = ()) -> tuple[Path, Tree]:
    """The file of a recipe, and all it says: its method's file lies below it, overrides above it.

    Above both lies, where asked for, what was published: `configs/published/<method>.yaml`, and what the recipe itself
    has under `as_published`.
    """
    path = find_recipe(str(recipe))
    tree = override(load_tree(path, recipe_beside), settings)
    name = str(tree.get("method", "cam"))
    below = asset_dir("configs") / "methods" / f"{name}.yaml"
    if below.is_file():
        tree = merge(load_tree(below, recipe_beside), tree)
    own = tree.pop("as_published", {})
    if tree.get("published"):
        tree = override(merge(merge(tree, _published(tree, name)), own), settings)
    _check_losses(tree, name, path)
    return path, tree


def load_prompts(name: str) -> PromptList:
    """Read a list of prompts, by name or by the path of a YAML file."""
    folder = asset_dir("configs") / "prompts"
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = [found.stem for found in folder.glob("*.yaml")]
        raise NotRegistered(f"There is no list of prompts '{name}'. {suggest(name, known)}")
    return parse(PromptList, load_tree(path, recipe_beside), path)


def _check_losses(tree: Tree, name: str, path: Path) -> None:
    from qaclims_path.models.methods import build_method, known_methods

    losses = tree.get("losses", {})
    if not isinstance(losses, dict):
        raise BadConfig(f"{path}: 'losses' should hold settings of the method, not {losses!r}.")
    settings = {key: value for key, value in losses.items() if key != "method"}
    kind = str(losses.get("method", name))
    files = [found.stem for found in (asset_dir("configs") / "methods").glob("*.yaml")]
    if kind not in known_methods():
        raise NotRegistered(f"{path}: there is no method '{kind}'. {suggest(kind, [*files, *known_methods()])}")
    build_method(kind, settings, f"{path}, losses")
    tree["losses"] = {"method": kind, **settings}


def _published(tree: Tree, name: str) -> Tree:
    folder = asset_dir("configs") / "published"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml")))
        raise UsageError(f"The method '{name}' was never published; that can be asked of {known}. Leave it out.")
    over = load_tree(path, recipe_beside)
    mask_prompt = tree.get("judge", {}).get("mode") == "mask-prompt"  # OVSeg's way is as published as the other
    return merge(over, {"judge": {"mode": "mask-prompt"}}) if mask_prompt else over


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or a name such as `voc2012/cam`."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = asset_dir("configs") / "recipes" / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    if path.suffix in (".yaml", ".yml"):
        raise BadConfig(f"{path} cannot be read: there is no such file.")
    raise NotRegistered(
        f"There is no recipe '{name}'. {suggest(name, recipe_names())} Or give the path of a YAML file."
    )


def recipe_beside(reference: str, path: Path) -> Path:
    """What a file extends lies beside it."""
    return path.parent / reference
