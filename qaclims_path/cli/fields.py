"""Options of commands that are the fields of an options model of the pipeline.

The name, type, default and limits of an option are those of its field; its help is the line of the field under
`Attributes:` in the docstring of the model. So a new option is written once, in the model, which also checks it.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from qaclims_path.config import Options, help_of, parse
from qaclims_path.errors import UsageError

C = TypeVar("C", bound=Callable[..., None])
O = TypeVar("O", bound=Options)  # noqa: E741
CONTEXT = "context"  # parameter that gets typer's context
LOW, HIGH = {"ge": "{}<=", "gt": "{}<"}, {"le": "<={}", "lt": "<{}"}


@dataclass(frozen=True)
class Chosen(Generic[O]):
    """Values that were chosen for the fields of an options model, by field name.

    Attributes:
        model: The options model.
        values: Values of its fields, chosen or default.
        given: Options and arguments of the command that its user has written.
    """

    model: type[O]
    values: Mapping[str, Any]
    given: frozenset[str] = frozenset()

    def options(self, **others: Any) -> O:  # noqa: ANN401 - the model checks them
        """Check the values, and those of the fields that the command sets by itself."""
        return parse(self.model, {**self.values, **others}, "The options")


def with_options(
    into: str, model: type[Options], *, leave_out: Collection[str] = (), names: Mapping[str, str] | None = None
) -> Callable[[C], C]:
    """Give a command an option for every field of a model.

    Args:
        into: Parameter of the command that gets the values of the fields.
        model: The options model.
        leave_out: Fields that the command sets by itself.
        names: Options that are not called like their fields.

    Examples:
        >>> @app.command()  # doctest: +SKIP
        ... @with_options("chosen", TileOptions, leave_out=["tissue"], names={"pens": "--drop-pens"})
        ... def tile(slides: list[Path], chosen: Chosen[TileOptions]) -> None:
        ...     options = chosen.options(tissue="otsu")
    """
    texts, hints = help_of(model), get_type_hints(model, include_extras=True)
    fields = {name: field for name, field in model.model_fields.items() if name not in leave_out}
    numbers = {name for name in fields if _is_numbers(hints[name])}
    options = [
        _option(name, hints[name], _default(field), texts.get(name, ""), (names or {}).get(name))
        for name, field in fields.items()
    ]

    def decorate(command: C) -> C:
        @wraps(command)
        def run(**values: Any) -> None:  # noqa: ANN401 - whatever typer has read
            chosen = {name: values.pop(name) for name in fields}
            chosen |= {name: _read_numbers(name, chosen[name], fields[name].default) for name in numbers}
            given = _given(values[CONTEXT] if again else values.pop(CONTEXT))
            command(**{into: Chosen(model, chosen, given)}, **values)

        own = inspect.signature(command, eval_str=True).parameters.values()
        again = any(one.name == CONTEXT for one in own)  # options of another model have been added before
        parameters = [each for one in own for each in (options if one.name == into else [one])]
        if not again:
            parameters.append(inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate


def _given(context: typer.Context) -> frozenset[str]:
    """Return the names of the parameters that the command line has."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE")


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 - any value
    return inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)


def _option(name: str, annotation: Any, default: Any, text: str, called: str | None) -> inspect.Parameter:  # noqa: ANN401
    alternatives = _alternatives(annotation)
    words = [word for word, kind in alternatives.items() if kind is Literal]
    kinds = set(alternatives.values())
    kind = kinds.pop() if len(kinds) == 1 and not words else str  # where several are possible, the model tells
    option = typer.Option(
        *([called] if called else []),
        help=text,
        metavar=None if kind is bool else f"<{'|'.join(alternatives)}>",
        autocompletion=lambda incomplete: [word for word in words if word.startswith(incomplete)],
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=_written(default) if _is_numbers(annotation) else default,
        annotation=Annotated[kind | None if default is None else kind, option],
    )


def _alternatives(annotation: Any, limits: str = "") -> dict[str, Any]:  # noqa: ANN401 - any annotation
    """Everything that an option may be, as its help shows it, with the type that typer reads."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _alternatives(parts[0], _limits(parts[1:]))
    if origin in (Union, UnionType):
        return {shown: kind for part in parts for shown, kind in _alternatives(part).items()}
    if origin is Literal:
        return dict.fromkeys(parts, Literal)
    if origin is tuple:
        return {"number,number,...": str} if _is_numbers(annotation) else {"str": list[str]}
    return {} if annotation is NoneType else {f"{annotation.__name__.lower()}{limits}": annotation}


def _limits(metadata: Iterable[Any]) -> str:
    """The limits of a number, such as `, 0<=x<=1`."""
    found = {type(each).__name__.lower(): each for info in metadata for each in getattr(info, "metadata", [])}
    low, high = (
        "".join(form.format(getattr(found[name], name)) for name, form in side.items() if name in found)
        for side in (LOW, HIGH)
    )
    return f", {low}x{high}" if low or high else ""


def _is_numbers(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    return get_origin(annotation) is tuple and get_args(annotation)[0] is not str


def _written(numbers: Iterable[float]) -> str:
    return ",".join(f"{each:g}" for each in numbers)


def _read_numbers(name: str, text: str, default: Iterable[float]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"{option} {text} should be numbers with commas between them, such as {_written(default)}."
        ) from error
