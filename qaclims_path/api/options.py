"""Options of public functions: keywords or a dictionary, checked by the models that the command line uses, too."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from qaclims_path.config import Options, Settings, parse
from qaclims_path.errors import UsageError
from qaclims_path.files.shards import Shard
from qaclims_path.registry import suggest

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O", bound=Options)  # noqa: E741
Where = str | Path
PATHS = (Where, Where | None)  # annotations of parameters that are paths
SETTINGS = 'a dictionary such as {"cam.train.epochs": 5}'


def public(*models: type[Options], leave_out: Iterable[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take the fields of models as keywords or as a dictionary `options`, and check what it is given.

    Unknown names and paths of another type are refused before the function runs. Its help lists all options.

    Args:
        models: Models of its options; the function gets them as `**options`.
        leave_out: Fields that the function sets by itself.

    Examples:
        >>> @public(MapOptions)  # doctest: +SKIP
        ... def make_maps(run: Where, **options: Any) -> CamsReport:
        ...     return make(Path(run), read(MapOptions, options, "make_maps"))
        >>> make_maps("run", batch=8) == make_maps("run", options={"batch": 8})  # doctest: +SKIP
        True
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = _without_keywords(inspect.signature(function))
        fields = [each for each in _parameters(models) if each.name not in {*own, *leave_out}]
        names = [*own, *(each.name for each in fields)]

        @wraps(function)
        def call(*given: Any, options: Any = None, **keywords: Any) -> R:  # noqa: ANN401 - checked below
            values = {**_dictionary(options, function.__name__), **keywords}
            _check_names(values, names, function.__name__)
            _check_types(own, {**dict(zip(own, given, strict=False)), **values}, function.__name__)
            return cast("Callable[..., R]", function)(*given, **values)

        last = [inspect.Parameter("options", inspect.Parameter.KEYWORD_ONLY, default=None)] if fields else []
        shown = [*own.values(), *fields, *last]
        call.__signature__ = inspect.signature(function).replace(parameters=shown)  # type: ignore[attr-defined]
        call.__doc__ = f"{inspect.getdoc(function)}{_help(models)}"
        return cast("Callable[P, R]", call)

    return decorate


def read(model: type[O], options: Mapping[str, Any], function: str, **others: Any) -> O:  # noqa: ANN401 - any values
    """Read the options of one model among those of a function.

    Args:
        model: The model.
        options: Options of all models of the function.
        function: Name of the function, for messages.
        others: Fields that the function sets by itself.
    """
    own = {name: value for name, value in options.items() if name in model.model_fields}
    return parse(model, {**own, **others}, f"{function}()")


def several(paths: Where | Iterable[Where]) -> tuple[str, ...]:
    """Return one path or several as strings."""
    if isinstance(paths, (str, os.PathLike)):
        return (str(paths),)
    found = tuple(paths) if isinstance(paths, Iterable) else (paths,)
    if wrong := [each for each in found if not isinstance(each, (str, os.PathLike))]:
        raise UsageError(f"A path or a list of paths is needed, not {kind_of(wrong[0])}.")
    return tuple(map(str, found))


def optional(path: Where | None) -> Path | None:
    """Return a path that may be missing."""
    return None if path is None else Path(path)


def with_shard(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which a part of the work may be written as on the command line, such as `2/8`."""
    shard = options.get("shard")
    return {**options, "shard": Shard.parse(shard)} if isinstance(shard, str) else dict(options)


def kind_of(value: object) -> str:
    """Name the type of a value, and the shape of an array.

    Examples:
        >>> kind_of(3), kind_of([1.5])
        ('int', 'list')
    """
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


def _without_keywords(signature: inspect.Signature) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function by name, without its `**options`."""
    return {name: each for name, each in signature.parameters.items() if each.kind is not each.VAR_KEYWORD}


def _parameters(models: Iterable[type[Options]]) -> list[inspect.Parameter]:
    """Return the fields of models as keywords of a function."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.get_default(call_default_factory=True),
            annotation=field.annotation,
        )
        for model in models
        for name, field in model.model_fields.items()
    ]


def _help(models: Sequence[type[Options]]) -> str:
    """Return the lines about all options, from the docstrings of their models."""
    texts = ((inspect.getdoc(model) or "").partition("Attributes:\n")[2].rstrip() for model in models)
    return "".join(f"\n\nOptions of `{model.__name__}`:\n{text}" for model, text in zip(models, texts, strict=True))


def _dictionary(options: object, function: str) -> dict[str, Any]:
    if options is None or isinstance(options, (Mapping, Options)):
        return dict(options or {})
    raise UsageError(f"{function}(): options should be a dictionary by name, not {kind_of(options)}.")


def _check_names(values: Mapping[str, Any], known: list[str], function: str) -> None:
    for name in values:
        if name not in known:
            raise UsageError(f"{function}() has no option '{name}'. {suggest(str(name), known)}")


def _check_types(own: Mapping[str, inspect.Parameter], values: Mapping[str, Any], function: str) -> None:
    """Refuse paths and settings of a recipe that have another type."""
    for name, parameter in own.items():
        value = values.get(name)
        if parameter.annotation in PATHS and not isinstance(value, (str, os.PathLike, type(None))):
            raise UsageError(f"{function}(): {name} should be a path or a name, not {kind_of(value)}.")
        if parameter.annotation == Settings and not isinstance(value, (Mapping, list, tuple, type(None))):
            raise UsageError(f"{function}(): {name} should be {SETTINGS}, not {kind_of(value)}.")
