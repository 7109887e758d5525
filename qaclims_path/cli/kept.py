"""Settings that stages done by hand take from a run begun with `published: true`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import typer

from qaclims_path.cli.fields import Chosen
from qaclims_path.config import Options, Tree, flat

O = TypeVar("O", bound=Options)  # noqa: E741


def with_kept(chosen: Chosen[O], run: Path, section: str) -> Chosen[O]:
    """Take the settings that a published run keeps where the user gives no option, and say so."""
    from qaclims_path.pipeline.run.options import kept_settings

    kept = kept_settings(run, section)
    taken = {name: kept[name] for name in kept if name in chosen.model.model_fields and name not in chosen.given}
    _say(run, taken, {**chosen.model().model_dump(), **chosen.values})
    return replace(chosen, values={**chosen.values, **taken})


def kept_boundary(run: Path, settings: Sequence[str], split: str | None) -> Tree:
    """Return the settings of the boundary network that a published run keeps, and say which of them hold."""
    from qaclims_path.pipeline.masks.options import SECTION, BoundaryOptions
    from qaclims_path.pipeline.run.options import kept_settings

    kept = kept_settings(run, SECTION.removesuffix("."))
    given = [setting.partition("=")[0].removeprefix(SECTION) for setting in settings]
    beginnings = tuple(f"{key}." for key in [*given, *([] if split is None else ["split"])])
    taken = {key: value for key, value in flat(kept).items() if not f"{key}.".startswith(beginnings)}
    _say(run, taken, flat(BoundaryOptions().model_dump()))
    return kept


def _say(run: Path, taken: Tree, ours: Tree) -> None:
    """Say which settings are taken that would be others without the run."""
    if others := [f"{name}={value}" for name, value in taken.items() if value != ours[name]]:
        found = ", ".join(others)
        typer.echo(f"{run} was begun with `published: true` and gives {found}; your own options win.", err=True)
