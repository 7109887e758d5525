"""Typed options from YAML: unknown keys are errors, `extends` builds on another file, `--set a.b=c` overrides.

Imports: errors, registry (for suggestions).
"""

import inspect
import json
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError

from qaclims_path.errors import BadConfig, first_of
from qaclims_path.registry import suggest

Tree = dict[str, Any]
MAX_YAML_BYTES = 4_000_000
MAX_EXTENDS = 8
ALTERNATIVE = re.compile(r"function-|tagged-|constrained-|(int|float|str|bool)$|\w+\[")  # of a union, in pydantic


class Options(BaseModel):
    """Base of every group of options: frozen, without unknown keys; a mistake raises `BadConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    def __init__(self, /, **values: Any) -> None:  # noqa: ANN401 - the fields check them
        """Check the values of the fields; all mistakes are reported together."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _bad_config(type(self), error.errors(), type(self).__name__) from error

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> Tree:  # noqa: ANN401 - pydantic's
        """Describe the fields by their texts in the docstring, and drop the docstring."""
        schema = handler.resolve_ref_schema(handler(core))
        schema.pop("description", None)
        for name, text in help_of(cls).items():
            if name in schema.get("properties", {}):
                schema["properties"][name]["description"] = text
        return schema

    # pydantic's mark of an `__init__` that groups within a group do not need: mistakes there keep their whole path
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the options with other values, which are checked; pydantic's own copy checks nothing."""
        if update is None:
            return super().model_copy(deep=deep)
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **update})


O = TypeVar("O", bound=BaseModel)  # noqa: E741


def help_of(model: type) -> dict[str, str]:
    """Return the texts about the fields of a class, from `Attributes:` in its docstring and those of its bases.

    Examples:
        >>> help_of(RunSettings)["nodes"]  # doctest: +SKIP
        'Machines; `auto` takes what the launcher says.'
    """
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        _, _, section = inspect.cleandoc(vars(base).get("__doc__") or "").partition("Attributes:\n")
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
        texts |= {name: " ".join(text.split()) for name, text in entries}
    return texts


@dataclass(frozen=True)
class Origin:
    """Origin of the values of a tree: a file, and settings of the command line that lie above it.

    Attributes:
        file: The file.
        settings: Settings such as `cam.train.lr=0.1`.
        section: Dotted key of the part of the tree that is checked; empty for the whole tree.
    """

    file: Path
    settings: tuple[str, ...] = ()
    section: str = ""

    def __str__(self) -> str:
        """Name the file and the section."""
        return ", ".join(filter(None, (str(self.file), self.section)))

    def part(self, section: str) -> "Origin":
        """Return the origin of a section."""
        return replace(self, section=section)

    def of(self, key: str) -> str:
        """Name the origin of a key within the section: the setting that gave it, else the file.

        Examples:
            >>> where = Origin(Path("cam.yaml"), ("cam.train.epoch=3",), "cam")
            >>> where.of("train.epoch"), where.of("train.lr"), where.of("train")
            ('--set cam.train.epoch=3', 'cam.yaml, cam', 'cam.yaml, cam, with --set cam.train.epoch=3')
        """
        whole = ".".join(filter(None, (self.section, key)))
        given = [(setting.partition("=")[0], f"--set {setting}") for setting in self.settings]
        if exact := [text for name, text in given if f"{whole}.".startswith(f"{name}.")]:
            return exact[-1]
        below = [text for name, text in given if not whole or name.startswith(f"{whole}.")]
        return ", with ".join([str(self), *([" ".join(below)] if below else [])])


class _Loader(yaml.SafeLoader):
    """The safe loader, without duplicate keys and without aliases, which can make a small file huge."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - yaml's own signature
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be one word or number", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' is written twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


@lru_cache(maxsize=64)  # a run reads its card a hundred times, and that of COCO takes a while
def _load(text: str) -> Any:  # noqa: ANN401 - whatever YAML can hold
    """Load with the safe loader; every error of a value becomes a YAML error. Copy the result before changing it."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:  # 2020-13-45, !!bool maybe, !!timestamp x
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error


def read_yaml(path: Path) -> Tree:
    """Read one YAML file as a mapping; errors name the file and the line."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise BadConfig(
                f"{path} is larger than {MAX_YAML_BYTES // 1_000_000} MB, which no configuration needs to be."
            )
        tree = deepcopy(_load(path.read_text(encoding="utf-8")))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadConfig(f"{path}{line}: {error.problem or 'this is not valid YAML'}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not a readable YAML text file: {str(error).splitlines()[0]}.") from error
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror or error}.") from error
    if not isinstance(tree, dict):
        found = "but it is empty" if tree is None else f"not a {type(tree).__name__}"
        raise BadConfig(f"{path} should hold `key: value` lines, {found}.")
    return tree


def merge(base: Tree, over: Tree) -> Tree:
    """Merge two trees: mappings are merged, all other values are replaced.

    Examples:
        >>> merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
        {'a': {'x': 1, 'y': 3}}
    """
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if both else value
    return out


def read_chain(
    path: Path, find: Callable[[str, Path], Path], read: Callable[[Path], Tree] = read_yaml
) -> list[tuple[Path, Tree]]:
    """Read a YAML file and the files that it extends, those first; of a list, each lies above the one before it.

    Args:
        path: The file.
        find: Finds a base, given the reference and the file that extends it.
        read: Reads one file.
    """
    found: list[tuple[Path, Tree]] = []

    def visit(file: Path, above: tuple[str, ...]) -> None:
        chain = (*above, os.path.realpath(file))
        if chain[-1] in above:
            names = " -> ".join(Path(part).name for part in chain)
            raise BadConfig(f"{path} extends itself: {names}.")
        if len(found) + len(above) >= MAX_EXTENDS:
            raise BadConfig(f"{path} builds on more than {MAX_EXTENDS} files. Merge some of them.")
        tree = read(file)
        references = tree.pop("extends", None)
        for reference in references if isinstance(references, list) else [references]:
            if reference is not None:
                visit(find(str(reference), file), chain)
        found.append((file, tree))

    visit(path, ())
    return found


def load_tree(path: Path, find: Callable[[str, Path], Path], read: Callable[[Path], Tree] = read_yaml) -> Tree:
    """Read a YAML file, merged with the files that it extends; see `read_chain`."""
    return reduce(merge, (tree for _, tree in read_chain(path, find, read)), {})


def override(tree: Tree, settings: Iterable[str]) -> Tree:
    """Apply settings such as `a.b=value`; values are read as YAML.

    Examples:
        >>> override({"cam": {"lr": 0.1}}, ["cam.lr=0.01", "seed=3"])
        {'cam': {'lr': 0.01}, 'seed': 3}
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not all(path.split(".")):
            raise BadConfig(f"--set {setting!r} should look like --set cam.train.lr=0.001.")
        try:
            value = deepcopy(_load(text))
        except yaml.YAMLError as error:
            raise BadConfig(f"--set {setting!r}: the value is not valid YAML; put quotes around it.") from error
        for key in reversed(path.split(".")):
            value = {key: value}
        tree = merge(tree, value)
    return tree


def flat(tree: Mapping[str, Any], above: str = "") -> Tree:
    """Flatten a tree to dotted keys.

    Examples:
        >>> flat({"a": {"b": 1}, "c": 2})
        {'a.b': 1, 'c': 2}
    """
    out: Tree = {}
    for key, value in tree.items():
        out |= flat(value, f"{above}{key}.") if isinstance(value, Mapping) and value else {f"{above}{key}": value}
    return out


Settings = Sequence[str] | Mapping[str, Any]  # as `a.b=value`, or values by dotted key


def settings_of(values: Settings) -> list[str]:
    """Write values by key as settings for `override`; written ones are returned as they are.

    Examples:
        >>> settings_of({"judge.id": "/models/ä", "cam.train.epochs": 2})
        ['judge.id="/models/ä"', 'cam.train.epochs=2']
    """
    if not isinstance(values, Mapping):
        return list(values)
    # in ASCII, JSON writes an emoji as two surrogates, which YAML does not join
    return [f"{key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in flat(values).items()]


def differences(before: Mapping[str, Any], now: Mapping[str, Any], most: int = 3) -> str:
    """Describe the first values that differ between two trees; empty where none does.

    Examples:
        >>> differences({"train": {"lr": 0.1}}, {"train": {"lr": 0.01}})
        'train.lr was 0.1, now 0.01'
    """
    old, new = flat(before), flat(now)
    keys = [key for key in dict.fromkeys((*new, *old)) if old.get(key) != new.get(key)]
    changes = [f"{key} was {old.get(key, 'not there')}, now {new.get(key, 'not there')}" for key in keys]
    return first_of(changes, most, "; ")


def parse(model: type[O], tree: Tree, where: object) -> O:
    """Check a tree against its model; all mistakes are reported together, unknown keys with a suggestion.

    Args:
        model: The model.
        tree: The tree.
        where: The file or the `Origin` of the tree, for messages.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise _bad_config(model, error.errors(), where) from error


def check_part(model: type[BaseModel], tree: Tree, where: object) -> None:
    """Refuse unknown keys and wrong values of a tree that need not hold all keys of its model, see `parse`."""
    try:
        model.model_validate(tree)
    except ValidationError as error:
        if wrong := [item for item in error.errors() if item["loc"] and item["type"] != "missing"]:
            raise _bad_config(model, wrong, where) from error


def _bad_config(model: type[BaseModel], found: Sequence[Mapping[str, Any]], where: object) -> BadConfig:
    problems: dict[str, list[str]] = {}
    for item in found:
        location = _location(dict(item))
        key = ".".join(str(part) for part in location)
        origin = where.of(key) if isinstance(where, Origin) else str(where)
        problems.setdefault(origin, []).append(_sentence(model, dict(item), location).removesuffix("."))
    return BadConfig(" ".join(f"{origin}: {'; '.join(dict.fromkeys(said))}." for origin, said in problems.items()))


def _location(item: Tree) -> list[Any]:
    return [part for part in item["loc"] if not (isinstance(part, str) and ALTERNATIVE.match(part))]


def _sentence(model: type[BaseModel], item: Tree, location: list[Any]) -> str:
    where = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return f"unknown key '{where}'. {suggest(str(location[-1]), known)}" if known else f"unknown key '{where}'."
    if item["type"] == "missing":
        return f"'{where}' is missing."
    message = str(item["msg"]).removeprefix("Value error, ").removesuffix(".")
    given = "" if isinstance(item["input"], (dict, list)) or not location else f" (given: {item['input']!r})"
    return f"'{where}': {message}{given}." if where else f"{message}."


def _fields_at(model: type[BaseModel], location: list[Any]) -> list[str]:
    """Return the field names of the option group at a location, followed through lists and mappings."""
    current: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        following: list[type[BaseModel]] = []
        for group in current:
            if part in group.model_fields:
                following += _models_in(group.model_fields[part].annotation)
        current = following or current
    return [name for group in current for name in group.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
