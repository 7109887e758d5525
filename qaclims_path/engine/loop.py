"""`fit` trains a task, and resumes a training that was stopped or killed at any moment."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qaclims_path.engine.checkpoint import Checkpoints, save_weights
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.guards import stop_on_signal
from qaclims_path.engine.sampling import BatchPlan, Collate, Groups, MapDataset, load
from qaclims_path.engine.seeds import determinism
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Callback, Task
from qaclims_path.engine.training import CHECKPOINTS, Training
from qaclims_path.files.atomic import write_json
from qaclims_path.files.json_files import read_object
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import check_same

WAY_OUT = "Choose another --out."
WEIGHTS, BEST, RESULT, OPTIONS = "weights.safetensors", "best.safetensors", "result.json", "options.json"


@dataclass(frozen=True)
class FitResult:
    """Result of a training.

    Attributes:
        weights: File of the last weights, or of their moving average if `ema` is set.
        best: File of the best weights, if a number is watched.
        best_value: Best watched value.
        steps: Optimiser steps done.
        epochs: Epochs done.
        over: `done`, or `early` if it stopped early.
        means: Mean of every logged number over the last epoch.
        precision: Numeric precision.
        images_per_s: Speed over the last steps and all processes.
    """

    weights: Path
    best: Path | None
    best_value: float | None
    steps: int
    epochs: int
    over: str
    means: dict[str, float]
    precision: str
    images_per_s: float


def fit(
    task: Task,
    data: MapDataset,
    options: TrainOptions,
    out: Path,
    *,
    processes: Processes | None = None,
    collate: Collate | None = None,
    callbacks: Sequence[Callback] = (),
    groups: Groups | None = None,
) -> FitResult:
    """Train a task, or resume an earlier call with the same `out`.

    Args:
        task: The task to train.
        data: Map-style data set. Its randomness depends on (seed, epoch, index) alone if it uses the global random
            states or has `set_epoch`.
        options: Everything that determines the numbers.
        out: Folder for weights, checkpoints and logs.
        processes: Result of `launch`, which must be the first call of a command; this process alone if None.
        collate: Makes a batch of items: a mapping with the images' names under `id`.
        callbacks: Called by every process after each epoch.
        groups: Images that are loaded in runs, of which every micro-batch consists; None for any order.

    Raises:
        UsageError: The options do not fit the data or the processes, or differ from those that `out` was started with.
        BadFile: The last checkpoint is damaged.
        Exploded: The loss is not finite, or far above its running mean.
        OutOfMemory: A step does not fit into memory.
        Interrupted: A Ctrl-C or SIGTERM stopped the training, which is saved.
    """
    processes = processes or launch()
    with ExitStack() as stack:
        processes.on_leader(lambda: stack.enter_context(locked(out / "state" / "lock")))
        stack.enter_context(determinism(strict=options.deterministic))
        request = stack.enter_context(stop_on_signal())
        plan = BatchPlan(
            len(data),
            options.batch,
            seed=options.seed,
            ranks=processes.size,
            rank=processes.rank,
            accumulate=options.accumulate,
            groups=groups,
        )
        done = processes.on_leader(lambda: _begin(out, options, len(data)))
        if done is not None:
            return _result(out, done)
        loader = stack.enter_context(load(data, plan, collate, processes))
        training = Training(task, options, out, processes, plan, loader)
        training.run(request, callbacks)
        facts = _facts(training)
        processes.on_leader(lambda: _finish(training, facts))
        return _result(out, facts)


def _begin(out: Path, options: TrainOptions, images: int) -> dict[str, Any] | None:
    """Check the options against those in `out`, or write them; returns the result of a finished training."""
    settings = {**options.model_dump(mode="json"), "images": images}
    started = (out / OPTIONS).is_file() and (Checkpoints(out / CHECKPOINTS).steps() or (out / RESULT).is_file())
    if started:
        check_same(out, read_object(out / OPTIONS, WAY_OUT), settings)
    else:
        write_json(out / OPTIONS, settings)
    return read_object(out / RESULT, WAY_OUT) if (out / RESULT).is_file() else None


def _facts(training: Training) -> dict[str, Any]:
    """Return the result of a training for JSON: the fields of `FitResult` that are not files."""
    state = training.state
    return {
        "steps": state.step,
        "epochs": state.epochs,
        "over": state.over,
        "best_value": state.best,
        "means": state.means,
        "precision": training.stepper.precision.name,
        "images_per_s": training.bar.speed,
    }


def _finish(training: Training, facts: Mapping[str, Any]) -> None:
    """Write the weights, and at last the result, which marks the training as finished."""
    out, ema = training.out, training.ema
    save_weights(out / WEIGHTS, ema.weights if ema else training.task.network.state_dict())
    if training.state.best is not None:
        parts, _ = training.checkpoints.load(training.state.best_step)
        save_weights(out / BEST, parts.get("mean", parts["weights"]))
    write_json(out / RESULT, facts)


def _result(out: Path, facts: Mapping[str, Any]) -> FitResult:
    best = out / BEST if facts["best_value"] is not None else None
    return FitResult(weights=out / WEIGHTS, best=best, **facts)
