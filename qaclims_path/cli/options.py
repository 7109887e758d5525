"""Options of the commands that train or use networks, and how such a command runs."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.errors import UsageError

if TYPE_CHECKING:
    from qaclims_path.data.card import Card
    from qaclims_path.engine.settings import RunSettings

FINISHED_WITH_FAILURES = 3


class Precision(StrEnum):
    """Of the arithmetic."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Glass(StrEnum):
    """What becomes of white glass."""

    protocol = "protocol"
    keep = "keep"


Devices = Annotated[int | None, typer.Option(min=1, help="Processes per machine; all GPUs if not given.")]
Nodes = Annotated[int | None, typer.Option(min=1, help="Machines.")]
TrainPrecision = Annotated[Precision, typer.Option(help="auto measures which is faster.")]
UsePrecision = Annotated[Precision, typer.Option(help="auto takes what the hardware is fastest at.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that load data, per device.")]
SaveEvery = Annotated[int, typer.Option(min=0, help="Steps between checkpoints; 0 is one per epoch.")]
KeepEvery = Annotated[int, typer.Option(min=0, help="Epochs between checkpoints that stay; 0 keeps the last and best.")]
Loggers = Annotated[
    list[str] | None,
    typer.Option("--logger", metavar="NAME", help="Where curves go: csv, tensorboard; both if not given. Repeatable."),
]
Compile = Annotated[bool, typer.Option("--compile", help="Use torch.compile, which begins slowly.")]


def run_settings(
    *,
    quiet: bool,
    devices: int | None = None,
    nodes: int | None = None,
    precision: Precision = Precision.auto,
    workers: int | None = None,
    save_every: int = 0,
    keep_every: int = 0,
    loggers: Sequence[str] | None = None,
    compiled: bool = False,
) -> "RunSettings":
    """How a training runs, from options; what is not given is found out."""
    from qaclims_path.engine.loggers import LOGGERS
    from qaclims_path.engine.settings import RunSettings

    for name in loggers or ():
        LOGGERS[name]  # an unknown one is refused now, not when the training begins
    return RunSettings(
        devices=devices or "auto",
        nodes=nodes or "auto",
        precision=precision.value,
        workers="auto" if workers is None else workers,
        save_every=save_every,
        keep_every=keep_every,
        loggers=tuple(loggers or RunSettings.loggers),
        compile=compiled,
        quiet=quiet,
    )


def scales_of(text: str) -> tuple[float, ...]:
    """Factors at which images are looked at.

    Example:
        >>> scales_of("0.5,1")
        (0.5, 1.0)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text} should be numbers with commas between them, such as 0.5,1,1.5,2.") from error


def card_of(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card":
    """The card by name or by file; one of the two."""
    found = card_if_given(name, file, called=called)
    if found is None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE.")
    return found


def card_if_given(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card | None":
    """The card by name or by file, or None where neither is given."""
    from qaclims_path.data.cards import load_card

    if name is not None and file is not None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE, not both.")
    if file is not None:
        return load_card(file.absolute())
    return load_card(name) if name is not None else None
