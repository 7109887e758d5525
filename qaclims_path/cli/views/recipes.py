"""Show recipes and their settings."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, plain_table
from qaclims_path.errors import first_of
from qaclims_path.pipeline.run.settings import RecipeLine, ResolvedSetting, Setting

SHOWN = 3  # files that set a key


def list_view(lines: Sequence[RecipeLine]) -> Iterator[RenderableType]:
    """One row per recipe."""
    table = plain_table("recipe", "data set", "method", "made of")
    for line in lines:
        made_of = ", ".join(map(_short, line.files))
        table.add_row(Text(line.name, style="bold"), Text(line.dataset), Text(line.method), Text(made_of, style=FAINT))
    yield table


def recipe_view(settings: Sequence[ResolvedSetting]) -> Iterator[RenderableType]:
    """One row per setting; those that a file or `--set` gave stand out."""
    table = plain_table("_setting", "value", "set by")
    for each in settings:
        style = "bold" if each.set_by else ""
        table.add_row(
            Text(each.key), Text(_written(each.value), style=style), Text(_short(each.set_by) or "default", FAINT)
        )
    yield table


def keys_view(settings: Sequence[Setting]) -> Iterator[RenderableType]:
    """A paragraph per setting: key, default and values, then its meaning, then the files that set it."""
    for each in settings:
        of = f", of the method {each.of}" if each.of else ""
        head = Text.assemble((each.key, "bold"), f" = {_written(each.default)}", (f"  ({each.values}){of}", FAINT))
        yield head
        if each.meaning:
            yield Text(f"    {each.meaning}")
        if each.set_by:
            yield Text(f"    set by {first_of([*map(_short, each.set_by)], SHOWN)}", style=FAINT)


def _short(name: str) -> str:
    """Name a file of `configs` without what all have in common."""
    return name.removeprefix("configs/").removesuffix(".yaml") if name.startswith("configs/") else name


def _written(value: Any) -> str:  # noqa: ANN401 - any value of a recipe
    """Write a value as YAML does in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
