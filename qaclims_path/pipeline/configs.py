"""Recipes and lists of prompts: find them, merge them, and read the keys that several stages share.

A stage reads its own section of a recipe, see `Recipe`.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from qaclims_path.assets import asset_dir, asset_name
from qaclims_path.config import (
    Options,
    Origin,
    Settings,
    Tree,
    merge,
    override,
    parse,
    read_chain,
    read_yaml,
    settings_of,
)
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, NotRegistered, UsageError
from qaclims_path.registry import suggest

AUTO = "auto"  # the card decides
Layer = tuple[str, Tree]  # a file or a setting, and its keys
AS_PUBLISHED = "as_published"
PROMPTED = "mask-prompt"  # mode of judges from OVSeg, the published one where its checkpoint is given
CONFIG = "config.yaml"  # the resolved recipe, in the folder of a run
MOVED = {  # keys of earlier versions
    "train.seed": "seed",
    **{key: f"cam.{key}" for key in ("network", "augment", "train", "losses", "init")},
    "boundary": "masks.boundary",
}


class JudgeOptions(Options):
    """The judge that compares regions with texts, and how regions are shown to it.

    Attributes:
        id: A hub id, a folder, or as its family names it; methods with language need one.
        revision: Revision on the hub.
        mode: Way in which the map cuts the region out of the image.
        fill: Replacement for the pixels outside the region.
        dtype: Precision of the judge, whatever the step's. `auto` is bf16 on a GPU (fp16 if it has no bf16), and on a
            CPU the precision of the step.
        published_pixels: Give the judge the backbone's normalised pixels, as the original code does.
        glass: `hide` leaves white glass out of regions, areas and pooling.
        scale: `fit` shows whole images; `own` shows a window at the pixel size that the judge was trained at; `auto`
            does so where both pixel sizes are known.
        turned: Turn the regions of every step to another of eight orientations, because tissue has no up and down;
            otherwise maps follow a judge that prefers one half of an image.
        centred: Subtract the mean text embedding and the mean image embedding before cosines.
        chunk: Pairs per forward pass; fewer need less memory, and gradients stay exact.
        recompute: Compute the judge's blocks again in the backward pass, which needs much less memory and about a third
            more time of the judge. `auto` does so on a GPU if the activations of a chunk (bytes that one view keeps,
            times two views per pair) would take more than 0.6 of the free memory.
    """

    id: str | None = None
    revision: str | None = None
    mode: Literal["soft", "hard", "published", "mask-prompt", "crop"] = "soft"
    fill: Literal["zero", "mean", "white", "blur"] = "zero"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    published_pixels: bool = False
    glass: Literal["show", "hide"] = "show"
    scale: Literal["fit", "own", "auto"] = "fit"
    turned: bool = False
    centred: bool = False
    chunk: Annotated[int, Field(ge=1)] = 64
    recompute: Literal["auto", "on", "off"] = "auto"


class WordsOptions(Options):
    """Source of the texts.

    Attributes:
        bank: Question bank whose templates are used.
        source: `answers` of the corpus; `knowledge`, the phrases on the card; `names` of the classes alone; `shuffled`,
            the answers about another image of the same class.
        prompts: A list of `configs/prompts` (or a YAML file): other names of classes, and words for things that are
            never the object.
        shared: Number of a class's most frequent answers that serve images without answers, and as texts against other
            classes.
    """

    bank: str = "histology"
    source: Literal["answers", "knowledge", "names", "shuffled"] = "names"
    prompts: str | None = None
    shared: Annotated[int, Field(ge=0)] = 10

    @property
    def need_corpus(self) -> bool:
        """Whether the texts are answers of a corpus."""
        return self.source in ("answers", "shuffled")


class SharedOptions(Options):
    """The top keys of a recipe, which several stages read.

    Attributes:
        dataset: Name of a data set, or the path of a card.
        split: Split to train on; `auto` is `train` where the card has it, else its only one for training.
        method: Name in tables; a file of `configs/methods`, or a registered method.
        published: Follow the released code with its quirks, see `configs/published`.
        seed: Seed of every training whose section names no other.
        judge: The judge.
        words: The texts.
    """

    dataset: str
    split: str = "auto"
    method: str = "cam"
    published: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    judge: JudgeOptions = JudgeOptions()
    words: WordsOptions = WordsOptions()


def _mapping(value: object) -> Tree:
    if value is not None and not isinstance(value, dict):
        raise ValueError("should hold `key: value` lines")
    return value or {}


Section = Annotated[Tree, BeforeValidator(_mapping), Field(default_factory=dict)]


class Recipe(SharedOptions):
    """A whole recipe: the shared keys, and a section per stage that the stage itself checks.

    Attributes:
        corpus: Questions and answers.
        cam: Training of the maps' network.
        cams: Making of maps.
        masks: Making of pseudo masks, with the training of the boundary network under `boundary`.
        seg: Training of the segmenter.
        evaluate: Predictions and scores.
    """

    corpus: Section
    cam: Section
    cams: Section
    masks: Section
    seg: Section
    evaluate: Section

    @property
    def shared(self) -> SharedOptions:
        """The top keys alone."""
        return SharedOptions(**{name: getattr(self, name) for name in SharedOptions.model_fields})


def recipe_names() -> list[str]:
    """List the recipes that ship with the package, as `dataset/method`."""
    folder = asset_dir("configs") / "recipes"
    return sorted(f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.yaml") if path.stem != "base")


def read_recipe(recipe: str | Path, settings: Settings = ()) -> tuple[Origin, Recipe]:
    """Read a recipe, see `layers_of`, and its origin."""
    layers = layers_of(recipe, settings)
    origin = Origin(find_recipe(str(recipe)), tuple(settings_of(settings)))
    return origin, _with_split(parse(Recipe, merged(layers), origin))


def layers_of(recipe: str | Path, settings: Settings = ()) -> list[Layer]:
    """Read the files and settings that make a recipe, from the lowest to the highest, each with its name.

    The method's file lies below the recipe, overrides lie above it. `published: true` overrides both with the published
    settings: those of `configs/published/<method>.yaml`, and those of the recipe under `as_published`.
    """
    path, given = find_recipe(str(recipe)), settings_of(settings)
    for setting in given:
        refuse_old_keys(override({}, [setting]), f"--set {setting}")
    chain, over = _chain(path), [(f"--set {setting}", override({}, [setting])) for setting in given]
    own = [(name, _as_published(tree.pop(AS_PUBLISHED, {}), name)) for name, tree in chain]
    tree = merged([*chain, *over])
    method = str(tree.get("method", "cam"))
    below = asset_dir("configs") / "methods" / f"{method}.yaml"
    layers = [*(_chain(below) if below.is_file() else ()), *chain]
    if tree.get("published"):
        layers += [*_published(merged([*layers, *over]), method), *own]
    return [*layers, *over]


def published_keys(recipe: str | Path) -> list[Layer]:
    """Read the keys under `as_published` of every file of a recipe, whether they hold or not."""
    chain = _chain(find_recipe(str(recipe)))
    return [(f"{name}, {AS_PUBLISHED}", _as_published(tree.get(AS_PUBLISHED, {}), name)) for name, tree in chain]


def merged(layers: Iterable[Layer]) -> Tree:
    """Merge layers, each over those before it."""
    return reduce(merge, (tree for _, tree in layers), {})


def _as_published(tree: object, name: str) -> Tree:
    if not isinstance(tree, dict):
        raise BadConfig(f"{name}: '{AS_PUBLISHED}' should hold `key: value` lines, not {tree!r}.")
    return tree


def with_seed(section: Tree, seed: int) -> Tree:
    """Give the training of a section the recipe's seed, unless it names its own."""
    return merge({"train": {"seed": seed}}, section)


def without_seed(section: Tree, seed: int) -> Tree:
    """Drop the seed of a section's training where it is the recipe's, so that `seed` alone can change both."""
    if section["train"]["seed"] != seed:
        return section
    return {**section, "train": {key: value for key, value in section["train"].items() if key != "seed"}}


def refuse_old_keys(tree: Mapping[str, Any], where: object) -> None:
    """Refuse keys of recipes of earlier versions, and name the new ones."""
    train = tree.get("train")
    keys = {*tree}
    if isinstance(train, dict) and "seed" in train:
        keys = keys - {"train"} if len(train) == 1 else keys
        keys.add("train.seed")
    if old := [key for key in MOVED if key in keys]:
        renamed = ", ".join(f"'{key}' is now '{MOVED[key]}'" for key in old)
        raise BadConfig(f"{where}: {renamed}.")


def read_run_config(path: Path) -> Tree:
    """Read the resolved recipe of a run, with old keys of earlier versions under their new names."""
    tree = read_yaml(path)
    out = {key: value for key, value in tree.items() if key not in MOVED}
    for key in (key for key in MOVED if key in tree):
        section, _, name = MOVED[key].partition(".")
        out = merge(out, {section: {name: tree[key]}})
    return out


def refuse_earlier_run(run: Path) -> None:
    """Refuse to continue a run that an earlier version began."""
    path = run / CONFIG
    if path.is_file() and any(key in MOVED for key in read_yaml(path)):
        raise UsageError(
            f"{run} was begun by an earlier version, whose recipes and stages had other names. Choose another --out; "
            "`qaclims report` and `qaclims compare` still read the old folder."
        )


def find_recipe(name: str) -> Path:
    """Find the file of a recipe: a path, or a name such as `voc2012/cam`."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = _shipped(name)
    if shipped.is_file():
        return shipped
    if path.suffix in (".yaml", ".yml"):
        raise BadConfig(f"{path} cannot be read: there is no such file.")
    raise NotRegistered(
        f"There is no recipe '{name}'. {suggest(name, recipe_names())} Or give the path of a YAML file."
    )


def _with_split(recipe: Recipe) -> Recipe:
    return recipe if recipe.split != AUTO else recipe.model_copy(update={"split": training_split(recipe.dataset)})


def training_split(dataset: str) -> str:
    """Return the split of a card to train on: `train`, else the only one for training."""
    card = load_card(dataset)
    names = [name for name, split in card.splits.items() if split.part == "train"]
    if "train" in names or len(names) == 1:
        return "train" if "train" in names else names[0]
    if not names:
        raise UsageError(
            f"'{card.name}' has no split for training. Add images for training, and their split to the card."
        )
    raise UsageError(
        f"'{card.name}' has several splits for training: {', '.join(names)}. Name one with --set split=NAME."
    )


def _shipped(name: str) -> Path:
    return asset_dir("configs") / "recipes" / f"{name}.yaml"


def _chain(path: Path) -> list[Layer]:
    """Read a file of a recipe and all that it extends, those first."""

    def read(file: Path) -> Tree:
        tree = read_yaml(file)
        refuse_old_keys(tree, file)
        if isinstance(tree.get(AS_PUBLISHED), dict):
            refuse_old_keys(tree[AS_PUBLISHED], f"{file}, {AS_PUBLISHED}")
        return tree

    return [(asset_name(file), tree) for file, tree in read_chain(path, _extended, read)]


def _extended(reference: str, path: Path) -> Path:
    """Return the path of the file that a recipe extends: in its folder, or by the name of a shipped recipe."""
    beside = path.parent / reference
    if beside.is_file() or reference.endswith((".yaml", ".yml")):
        return beside
    shipped = _shipped(reference)
    if not shipped.is_file():
        raise NotRegistered(
            f"{path} extends '{reference}', which is neither a file beside it nor a recipe. "
            f"{suggest(reference, recipe_names())}"
        )
    return shipped


def _published(tree: Tree, name: str) -> list[Layer]:
    folder = asset_dir("configs") / "published"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml")))
        raise UsageError(f"The method '{name}' was never published; that can be asked of {known}. Leave it out.")
    judge = tree.get("judge")
    prompted = isinstance(judge, dict) and (judge.get("mode") == PROMPTED or str(judge.get("id")).startswith("ovseg:"))
    return [*_chain(path), *([("judge.mode of OVSeg", {"judge": {"mode": PROMPTED}})] if prompted else [])]
