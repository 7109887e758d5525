"""Options that determine a training's numbers (`TrainOptions`, part of a recipe) and how it runs (`RunSettings`)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qaclims_path.config import Options
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
LOSS = "loss"  # name of the loss that every task returns


class TrainOptions(Options):
    """Everything that determines the numbers of a training.

    Attributes:
        epochs: Passes over the data.
        steps: Optimiser steps at which the training ends, within a pass if need be; None does all `epochs`.
        batch: Images of one optimiser step, over all processes and micro-batches.
        accumulate: Most micro-batches per process and step, whose gradients are averaged; more need less memory. Where
            they do not divide a process's share of the batch, fewer are used.
        optimizer: Name of the optimiser.
        lr: Learning rate of parameter groups without their own.
        momentum: Momentum of SGD; the published code runs with 1e-4.
        betas: Decays of the two moments of AdamW.
        weight_decay: Weight decay of parameter groups without their own.
        schedule: Decay of the learning rate over the steps.
        power: Exponent of the poly schedule.
        stair: Steps between two changes of the schedule: 10 as released with DeepLabV2.
        beyond: Steps by which the schedule is longer than the training: 1 as released with DeepLabV1.
        warmup: Steps in which the learning rate rises from 0.
        floor: Share of the learning rate that remains at the end.
        clip: Maximal norm of the gradient over all parameters; None does not clip.
        ema: Decay of the exponential moving average of weights; None keeps no average.
        batchnorm: `train` (over the images of all processes), `fixed` (statistics do not change, scales are trained),
            `moving` (statistics follow the images of all processes, scales do not change, as released with DeepLabV1),
            or `frozen` (neither changes).
        explode: Stop when the loss exceeds its running mean by this factor; None stops only at NaN and infinity.
        seed: Seed of every random number.
        deterministic: Use only deterministic operations; some are slower on a GPU.
        watch: Name of the number that decides the best checkpoint and early stopping: `loss` (mean over an epoch), or a
            number that a callback returns.
        better: Whether more or less of the watched number is better.
        patience: Stop after this many epochs without improvement; None never stops early.
    """

    epochs: Annotated[int, Field(ge=1)] = 15
    steps: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 16
    accumulate: Annotated[int, Field(ge=1)] = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: Share = 0.9
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: Positive = 0.9
    stair: Annotated[int, Field(ge=1)] = 1
    beyond: Count = 0
    warmup: Count = 0
    floor: Share = 0.0
    clip: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    batchnorm: Literal["train", "fixed", "moving", "frozen"] = "train"
    explode: Annotated[float, Field(gt=1)] | None = 1000.0
    seed: Count = 0
    deterministic: bool = False
    watch: str | None = None
    better: Literal["more", "less"] = "more"
    patience: Annotated[int, Field(ge=1)] | None = None

    def passes(self, images: int) -> float:
        """Return how often the training sees each of the images, on average.

        Examples:
            >>> TrainOptions(steps=30, batch=20).passes(400)
            1.5
        """
        return self.epochs if self.steps is None else self.steps * self.batch / max(images, 1)

    @model_validator(mode="after")
    def _patience_needs_watch(self) -> "TrainOptions":
        if self.patience is not None and self.watch is None:
            raise ValueError("'patience' needs 'watch', the name of the number that should improve")
        return self

    @model_validator(mode="after")
    def _loss_should_fall(self) -> "TrainOptions":
        if self.watch == LOSS and self.better == "more":
            raise ValueError(f"'watch: {LOSS}' needs 'better: less'")
        return self


def check_watched(train: TrainOptions, known: str = LOSS) -> None:
    """Refuse a watched number that no callback will return, while the recipe is read.

    Args:
        train: Training options of the recipe.
        known: The only number that can be watched.
    """
    if train.watch not in (None, known):
        raise ValueError(f"there is no number '{train.watch}' to watch. {suggest(str(train.watch), [known])}")


class RunSettings(Options):
    """How a training runs. Results change only by rounding and by which values dropout drops.

    Attributes:
        devices: Processes per node, one per GPU; `auto` takes those of a launcher, else all GPUs, else one CPU.
        nodes: Number of machines; `auto` asks the launcher.
        accelerator: Kind of device.
        precision: Numeric precision; `auto` times fp32 and bf16 (fp16 on a GPU without bf16) and takes the latter if it
            is faster.
        workers: Processes that load data, per training process; `auto` leaves one core to the training.
        cache: Memory in GB for decoded images, shared by the processes of a machine; `auto` takes up to half of the
            available memory and free disk, `off` decodes every image in every epoch.
        compile: Use `torch.compile` for the network and the judge.
        loggers: Loggers of curves: `csv`, `tensorboard`, or one of the entry-point group `qaclims_path.loggers`.
        log_every: Steps between two rows of the logs.
        save_every: Steps between two checkpoints; 0 writes one per epoch.
        keep_every: Epochs between two checkpoints that are never removed; 0 keeps only the last two and the best.
        quiet: Show no progress.
    """

    devices: int | Literal["auto"] = "auto"
    nodes: int | Literal["auto"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int | Literal["auto"] = "auto"
    cache: Annotated[float, Field(allow_inf_nan=False)] | Literal["auto", "off"] = "auto"
    compile: bool = False
    loggers: tuple[str, ...] = ("csv", "tensorboard")
    log_every: int = 10
    save_every: int = 0
    keep_every: int = 0
    quiet: bool = False

    @model_validator(mode="after")
    def _counts_are_possible(self) -> "RunSettings":
        for name in ("devices", "nodes", "log_every"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise UsageError(f"{name} is {value}, but must be at least 1.")
        for name in ("workers", "cache", "save_every", "keep_every"):
            value = getattr(self, name)
            if value not in ("auto", "off") and value < 0:
                raise UsageError(f"{name} is {value}, but must not be negative.")
        return self
