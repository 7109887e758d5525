"""Methods that train a CamNet: one file each, from the maps and region features of a batch to named losses.

A method is a frozen dataclass whose fields are its settings, set by a recipe; it has no other state. Another package
adds one through the entry points `qaclims_path.methods`. The files import torch inside functions, so that recipes are
checked without it.

May import compute, config, registry, types and errors.
"""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import create_model

from qaclims_path.config import Options, Tree, parse
from qaclims_path.registry import Registry

if TYPE_CHECKING:
    from qaclims_path.models.methods.method import Method

METHODS: "Registry[type[Method]]" = Registry(
    "method",
    "qaclims_path.methods",
    {name: f"{__name__}.{name.replace('-', '_')}" for name in ("cam", "clims", "qa-clims", "qa-clims-path")},
)


def settings_model(name: str) -> type[Options]:
    """Make the options model of the settings of a registered method."""
    kind: Any = METHODS[name]
    hints = get_type_hints(kind, include_extras=True)
    known: dict[str, Any] = {field.name: (hints[field.name], field.default) for field in fields(kind)}
    return create_model("Settings", __base__=Options, __doc__=kind.__doc__, **known)


def build_method(name: str, settings: Tree, where: object) -> "Method":
    """Build a registered method from its settings; unknown or invalid settings raise an error with a suggestion.

    Examples:
        >>> build_method("cam", {"clasification": 1}, "an example")
        Traceback (most recent call last):
        qaclims_path.errors.BadConfig: an example: unknown key 'clasification'. Did you mean 'classification'? ...
    """
    checked = parse(settings_model(name), settings, where)
    kind: Any = METHODS[name]
    method: Method = kind(**checked.model_dump())
    return method
