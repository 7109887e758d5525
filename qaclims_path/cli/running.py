"""Options of how a training runs: devices, precision, checkpoints, curves."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.errors import UsageError

if TYPE_CHECKING:
    from qaclims_path.engine.settings import RunSettings


class Precision(StrEnum):
    """Numeric precision."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


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
    """How a training runs, from the options of its command."""
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
    """Scales of the images.

    Example:
        >>> scales_of("0.5,1")
        (0.5, 1.0)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text} should be numbers with commas between them, such as 0.5,1,1.5,2.") from error
