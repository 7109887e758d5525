"""Methods that train a CamNet: one file each, from the maps and region features of a batch to named losses.

A method is a frozen dataclass whose fields are its settings, set by a recipe; it has no other state. Another package
adds one through the entry points `qaclims_path.methods`.

May import compute, config, registry, types and errors.
"""

from dataclasses import fields
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import create_model

from qaclims_path.config import Options, Tree, parse
from qaclims_path.models.methods.method import Method
from qaclims_path.registry import Registry

METHODS: Registry[type[Method]] = Registry("method", "qaclims_path.methods")
FILES = "cam", "clims", "qa_clims", "qa_clims_path"


def known_methods() -> Registry[type[Method]]:
    """Return the registry, with the methods of this package imported."""
    for file in FILES:
        import_module(f"{__name__}.{file}")
    return METHODS


def build_method(name: str, settings: Tree, where: object) -> Method:
    """Build a registered method from its settings; unknown or invalid settings raise an error with a suggestion.

    Examples:
        >>> build_method("cam", {"clasification": 1}, "an example")
        Traceback (most recent call last):
        qaclims_path.errors.BadConfig: an example: unknown key 'clasification'. Did you mean 'classification'? ...
    """
    kind: Any = known_methods()[name]
    hints = get_type_hints(kind, include_extras=True)
    known: dict[str, Any] = {field.name: (hints[field.name], field.default) for field in fields(kind)}
    checked = parse(create_model("Settings", __base__=Options, **known), settings, where)
    method: Method = kind(**checked.model_dump())
    return method
