"""What a training does (`TrainOptions`, part of a configuration) and how it runs (`RunSettings`, never part of one)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
LOSS = "loss"  # what every task returns


class TrainOptions(Options):
    """Everything that decides the numbers of a training.

    Attributes:
        epochs: Passes over the data.
        batch: Images of one optimiser step, over all processes and all pieces together.
        accumulate: Pieces into which a process cuts its share of a batch; more pieces need less memory.
        optimizer: Which one.
        lr: Learning rate of the groups that name none.
        momentum: Of SGD; the published code runs with 1e-4.
        betas: Of AdamW.
        weight_decay: Of the groups that name none.
        schedule: How the learning rate falls with the steps.
        power: Of the poly schedule.
        warmup: Steps in which the learning rate rises from nothing.
        floor: Share of the learning rate that is left at the end.
        clip: Longest gradient, as a norm over all parameters; None leaves it as it is.
        ema: Decay of the running mean of weights; None keeps none.
        batchnorm: `train` as usual (synchronised between GPUs), `frozen` keeps statistics and scales as they are.
        explode: Stop when the loss is this many times its usual size; None only stops at NaN and infinity.
        seed: Of every random number.
        deterministic: Whether a GPU may only use operations whose results never vary.
        watch: Name of a number that decides the best checkpoint and when to stop early: `loss`, the mean over an epoch,
            or what a callback returns.
        better: Whether more or less of it is better.
        patience: Epochs without a better one after which to stop; None never stops early.
    """

    epochs: Annotated[int, Field(ge=1)] = 15
    batch: Annotated[int, Field(ge=1)] = 16
    accumulate: Annotated[int, Field(ge=1)] = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: Share = 0.9
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: Positive = 0.9
    warmup: Count = 0
    floor: Share = 0.0
    clip: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    batchnorm: Literal["train", "frozen"] = "train"
    explode: Annotated[float, Field(gt=1)] | None = 1000.0
    seed: Count = 0
    deterministic: bool = False
    watch: str | None = None
    better: Literal["more", "less"] = "more"
    patience: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _patience_has_something_to_watch(self) -> "TrainOptions":
        if self.patience is not None and self.watch is None:
            raise ValueError("'patience' needs 'watch', the name of the number to wait for")
        return self

    @model_validator(mode="after")
    def _less_loss_is_better(self) -> "TrainOptions":
        if self.watch == LOSS and self.better == "more":
            raise ValueError(f"'watch: {LOSS}' needs 'better: less'")
        return self


def check_watched(train: TrainOptions, known: str = LOSS) -> None:
    """Refuse to watch what there will not be while options are read, before anything takes long.

    Args:
        train: Of a recipe.
        known: The number that it can watch.
    """
    if train.watch not in (None, known):
        raise ValueError(f"no '{train.watch}' is there to be watched. {suggest(str(train.watch), [known])}")


@dataclass(frozen=True)
class RunSettings:
    """How a training runs: nothing here changes results beyond rounding, and where dropout falls.

    Attributes:
        devices: Processes per node, one per GPU; `auto` takes what a launcher started, else all GPUs, else one CPU.
        nodes: Machines; `auto` takes what the launcher says.
        accelerator: Kind of device.
        precision: Of the arithmetic; `auto` measures fp32 against bf16 and takes bf16 only where it is faster.
        workers: Processes that load data, per device; `auto` leaves one core to the training.
        compile: Whether the network goes through `torch.compile`.
        loggers: Names from the entry-point group `qaclims_path.loggers`, `csv` and `tensorboard` among them.
        log_every: Steps between two rows of the logs.
        save_every: Steps between two checkpoints; 0 writes one per epoch.
        keep_every: Epochs between two checkpoints that are never removed; 0 keeps the last and the best.
        quiet: Whether to show no progress.
    """

    devices: int | Literal["auto"] = "auto"
    nodes: int | Literal["auto"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int | Literal["auto"] = "auto"
    compile: bool = False
    loggers: tuple[str, ...] = ("csv", "tensorboard")
    log_every: int = 10
    save_every: int = 0
    keep_every: int = 0
    quiet: bool = False

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "log_every"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise UsageError(f"{name} is {value}, but should be at least 1.")
        for name in ("workers", "save_every", "keep_every"):
            value = getattr(self, name)
            if value != "auto" and value < 0:
                raise UsageError(f"{name} is {value}, but should not be negative.")
