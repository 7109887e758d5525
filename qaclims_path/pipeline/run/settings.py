"""All settings of recipes: what each means, its default, and the files that set it; also as a JSON Schema.

Everything is read from the options models of the stages, which also check recipes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import Field, create_model

from qaclims_path.assets import asset_dir, asset_name
from qaclims_path.config import Options, Settings, Tree, flat, merge, read_yaml
from qaclims_path.errors import UsageError
from qaclims_path.models.methods import METHODS, settings_model
from qaclims_path.pipeline.cam.options import CamOptions
from qaclims_path.pipeline.configs import AS_PUBLISHED, Recipe, layers_of, merged, recipe_names
from qaclims_path.pipeline.corpus.options import CorpusOptions, corpus_layers
from qaclims_path.pipeline.masks.options import BoundaryOptions, MaskOptions
from qaclims_path.pipeline.run.options import CamsSection, EvaluateSection, load_run
from qaclims_path.pipeline.segmenter.options import TrainSegOptions
from qaclims_path.registry import suggest

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
OTHER = "another setting"  # such as the judge of the recipe, which becomes that of the corpus
SETTERS = ("methods", "recipes", "published")  # folders of `configs` whose files set keys of recipes


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe.

    Attributes:
        key: Dotted key, as in `--set`.
        values: What it may be.
        default: Value where nothing sets it.
        meaning: What it means.
        of: Method that it is a setting of; empty for settings that every recipe has.
        set_by: Files of `configs` that set it.
    """

    key: str
    values: str
    default: Any
    meaning: str
    of: str = ""
    set_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolvedSetting:
    """A setting as a recipe resolves it.

    Attributes:
        key: Dotted key, as in `--set`.
        value: Its value.
        default: Value where nothing sets it.
        meaning: What it means.
        set_by: File or `--set` that gave the value, the last of them all; empty for a default.
    """

    key: str
    value: Any
    default: Any
    meaning: str
    set_by: str = ""


@dataclass(frozen=True)
class RecipeLine:
    """A shipped recipe.

    Attributes:
        name: Name on the command line.
        dataset: Data set, as its card is called.
        method: Name of the method.
        files: Files that make it, from the lowest to the highest.
    """

    name: str
    dataset: str
    method: str
    files: tuple[str, ...]


def list_recipes() -> list[RecipeLine]:
    """List the recipes that ship with the package."""
    lines = []
    for name in recipe_names():
        layers = layers_of(name)
        keys = {key: value for _, tree in layers for key, value in tree.items() if key in ("dataset", "method")}
        files = tuple(layer for layer, _ in layers)
        lines.append(RecipeLine(name, str(keys["dataset"]), str(keys.get("method", "cam")), files))
    return lines


def list_settings() -> list[Setting]:
    """List every setting of recipes, in the order of the stages.

    Examples:
        >>> [each.default for each in list_settings() if each.key == "seg.train.epochs"]
        [20]
    """
    files = {name: flat(tree) for name, tree in _shipped_files()}
    return [
        Setting(key, _values_of(schema), schema.get("default"), schema.get("description", ""), of, _setters(key, files))
        for key, schema, of in _leaves(recipe_schema())
    ]


def settings_below(key: str) -> list[Setting]:
    """List the settings at or below a dotted key, all for an empty one; an unknown key is refused."""
    settings = list_settings()
    found = [each for each in settings if not key or each.key == key or each.key.startswith(f"{key}.")]
    if not found:
        names = {each.key for each in settings}
        groups = {name.rpartition(".")[0] for name in names} - {""}
        raise UsageError(f"There is no setting '{key}'. {suggest(key, [*(groups | names)])}")
    return found


def show_recipe(recipe: str | Path, settings: Settings = ()) -> list[ResolvedSetting]:
    """Resolve a recipe, and name the file or setting that gave each value."""
    options = load_run(recipe, settings)
    values, layers = options.tree, layers_of(recipe, settings)
    if options.corpus is not None:
        layers = [*((name, {"corpus": tree}) for name, tree in corpus_layers(options.corpus_config)), *layers]
    origins, given = {key: name for name, tree in layers for key in flat(tree)}, merged(layers)
    method = values["cam"]["losses"]["method"]
    shown = []
    for key, schema, of in _leaves(recipe_schema()):
        found, value = _value_at(values, key)
        if found and of in ("", method):
            by = [name for other, name in origins.items() if other == key or other.startswith(f"{key}.")]
            origin = by[-1] if by and _value_at(given, key) == (True, value) else OTHER * bool(by)
            shown.append(ResolvedSetting(key, value, schema.get("default"), schema.get("description", ""), origin))
    return shown


def recipe_schema() -> Tree:
    """Describe recipes as a JSON Schema, without references, for editors that complete YAML."""
    schema = _recipe_model().model_json_schema()
    whole = _inlined(schema, schema.get("$defs", {}))
    return {"$schema": SCHEMA, "title": "A recipe of qaclims_path", **whole}


def _recipe_model() -> type[Options]:
    """Join the models of all sections; only its schema is used."""
    known = {name: _settings_of_method(name) for name in METHODS}
    losses: Any = Union[tuple(known.values())]  # noqa: UP007 - of a number of models that is not known
    cam: Any = create_model("Cam", __base__=CamOptions, losses=(losses, Field(default_factory=known["cam"])))
    masks: Any = create_model("Masks", __base__=MaskOptions, boundary=(BoundaryOptions, BoundaryOptions()))
    about = Field(None, description="Name or path of the questions and answerer, as in `configs/corpus`.")
    corpus: Any = create_model("Corpus", __base__=CorpusOptions, config=(str | None, about))
    return create_model(
        "WholeRecipe",
        __base__=Recipe,
        extends=(
            str | list[str] | None,
            Field(None, description="A file beside this one, or a shipped recipe, that this changes; or several."),
        ),
        as_published=(Tree, Field({}, description="Keys that hold with `published: true` alone.")),
        corpus=(corpus, None),
        cam=(cam, cam()),
        cams=(CamsSection, CamsSection()),
        masks=(masks, masks()),
        seg=(TrainSegOptions, None),
        evaluate=(EvaluateSection, EvaluateSection()),
    )


def _settings_of_method(name: str) -> type[Options]:
    about = Field(name, description="The registered method; that of the recipe where it is left out.")
    return create_model(name, __base__=settings_model(name), method=(Literal[name], about))  # type: ignore[arg-type]


def _inlined(schema: Tree, known: Tree, default: Any = None) -> Tree:  # noqa: ANN401 - any default
    """Put referred schemas in the place of references, and defaults of a group into its fields; nothing is required."""
    if "$ref" in schema:
        schema = merge(known[schema["$ref"].rpartition("/")[2]], {key: schema[key] for key in schema if key != "$ref"})
    default = schema.get("default", default)
    out = {key: value for key, value in schema.items() if key not in ("$defs", "required", "title")}
    if "properties" in out:
        given = default if isinstance(default, Mapping) else {}
        own = {name: _inlined(field, known) for name, field in out["properties"].items()}
        out["properties"] = {
            name: _inlined({**field, "default": given[name]}, known) if name in given else field
            for name, field in own.items()
        }
        out.pop("default", None)
    if "anyOf" in out:
        out["anyOf"] = [{**_inlined(each, known), **_titled(each)} for each in out["anyOf"]]
    return out


def _titled(group: Tree) -> Tree:
    """Return the title of one of several groups, which is the name of a method."""
    title = group["$ref"].rpartition("/")[2] if "$ref" in group else group.get("title")
    return {"title": title} if title else {}


def _leaves(schema: Tree, above: str = "", of: str = "") -> Iterator[tuple[str, Tree, str]]:
    """Yield the key, the schema and the method of every setting that is no group."""
    for name, field in schema["properties"].items():
        key = f"{above}{name}"
        groups = [each for each in (field, *field.get("anyOf", ())) if "properties" in each]
        for group in groups:
            yield from _leaves(group, f"{key}.", group.get("title", of) if len(groups) > 1 else of)
        if not groups:
            yield key, field, of


def _values_of(schema: Tree) -> str:
    """Write what a setting may be in words.

    Examples:
        >>> _values_of({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
        'integer >= 1, or null'
    """
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(_values_of(each) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(str(each) for each in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items", {}), {}]
        return f"[{', '.join(_values_of(each) or '...' for each in items)}]"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    kinds = {"object": "key: value", "string": "text", "boolean": "true | false"}
    kind = schema.get("type", "")
    return " ".join(filter(None, (kinds.get(kind, kind), " and ".join(limits))))


def _shipped_files() -> Iterator[tuple[str, Tree]]:
    """Yield the files of `configs` that set keys of recipes, with keys of `as_published` at their place."""
    folder = asset_dir("configs")
    for path in sorted(path for kind in SETTERS for path in (folder / kind).rglob("*.yaml")):
        tree = read_yaml(path)
        yield asset_name(path), merge(tree, tree.pop(AS_PUBLISHED, {}))


def _setters(key: str, files: Mapping[str, Tree]) -> tuple[str, ...]:
    below = f"{key}."
    return tuple(name for name, keys in files.items() if any(k == key or k.startswith(below) for k in keys))


def _value_at(tree: Tree, key: str) -> tuple[bool, Any]:
    """Return whether a tree has a dotted key, and its value."""
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value
