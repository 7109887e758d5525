"""A running training: its steps and epochs, logs, early stopping, checkpoints, and resuming after a stop."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from qaclims_path.engine import guards
from qaclims_path.engine.bar import Bar
from qaclims_path.engine.checkpoint import Checkpoints, Facts
from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.ema import MovingAverage
from qaclims_path.engine.environment import environment
from qaclims_path.engine.loggers import LOGGERS, Logger
from qaclims_path.engine.network import batch_norms, prepare, training_mode
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Precision, PrecisionName
from qaclims_path.engine.probe import choose_precision
from qaclims_path.engine.sampling import BatchPlan, batches, first_micro_batch, image_names
from qaclims_path.engine.settings import LOSS, TrainOptions
from qaclims_path.engine.state import TrainingState, restore, snapshot
from qaclims_path.engine.stepper import Stepper, StepResult
from qaclims_path.engine.sums import Sums, mean_of_each
from qaclims_path.engine.task import Batch, Callback, EpochEnd, Task
from qaclims_path.errors import Interrupted, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.registry import suggest

CHECKPOINTS = "checkpoints"


class Training:
    """Trains a task from its last checkpoint, or from the start, to the last step.

    Attributes:
        task: The task that is trained.
        options: Options of the training.
        out: Folder of the run, shared by all processes.
        processes: All processes of the training.
        plan: Order of the images.
        epochs: Passes over the images; the last one may end early.
        stepper: Runs the optimiser steps.
        ema: Exponential moving average of the weights, if `options.ema` is set.
        state: Counters and means.
        sums: Sums of the logged numbers in this epoch, over this process.
        bar: Progress bar.
    """

    def __init__(
        self,
        task: Task,
        options: TrainOptions,
        out: Path,
        processes: Processes,
        plan: BatchPlan,
        loader: DataLoader[Any],
    ) -> None:
        self.task, self.options, self.out = task, options, out
        self.processes, self.plan, self.loader = processes, plan, loader
        training_mode(task.network, options)
        prepare(task, processes, options)
        running, device, steps = processes.running, processes.device, options.steps or plan.steps * options.epochs
        self.epochs = -(-steps // plan.steps)
        precision = Precision("fp32" if running.precision == "auto" else running.precision, device)
        optimizer = build_optimizer(task, options)
        self.stepper = Stepper(task, optimizer, precision, options, processes, steps, plan.micro_batch)
        self.ema = MovingAverage(task.network, options.ema) if options.ema else None
        self.state, self.sums = TrainingState(), Sums(device)
        self.checkpoints = Checkpoints(out / CHECKPOINTS)
        self.loggers: list[Logger] = []
        self.bar = Bar(steps, options.batch, device, shown=processes.is_leader and not running.quiet)

    def run(self, request: guards.StopRequest, callbacks: Sequence[Callback]) -> None:
        """Train until the last epoch, an early stop, or a request to stop."""
        with self.bar:
            self._say_shares()
            self._say_norms()
            self._set_precision(self._resume())
            self._open_loggers()
            try:
                while not self.state.over:
                    self._run_epoch(request)
                    self._end_epoch(callbacks)
                    self._stop_if(request)
            finally:
                for logger in self.loggers:
                    logger.close()

    def _say_shares(self) -> None:
        """Say how a batch is split where `accumulate` micro-batches do not divide a process's share."""
        plan, wanted = self.plan, self.options.accumulate
        if plan.accumulate != wanted:
            self.bar.say(
                f"Each of {plan.ranks} process(es) splits its {plan.batch // plan.ranks} of {plan.batch} images into "
                f"{plan.accumulate} micro-batch(es) instead of {wanted}; the batch stays {plan.batch}."
            )

    def _say_norms(self) -> None:
        """Say that batch norms cannot be fixed or frozen in a network that has none."""
        kind = self.options.batchnorm
        if kind != "train" and not any(batch_norms(self.task.network)):
            self.bar.say(f"The network has no batch norm, so train.batchnorm={kind} changes nothing.")

    def _resume(self) -> Facts:
        """Load the last checkpoint; returns its JSON, which is empty if there is no checkpoint."""
        if self.processes.is_leader:
            self.checkpoints.remove_unfinished()
        last = self.processes.from_leader(next(reversed(self.checkpoints.steps()), None))
        if last is None:
            return {}
        parts, facts = self.checkpoints.load(last)
        restore(self.stepper, self.ema, parts, facts, self.checkpoints.path(last))
        self.state = TrainingState.of(facts["standing"])
        if self.processes.is_leader:  # which holds the sums of all processes
            self.sums.load(facts["standing"]["sums"])
        self.bar.say(f"Resuming after step {last} of {self.stepper.steps}.")
        return facts

    def _set_precision(self, saved: Facts) -> None:
        """With `precision: auto`, use the precision of the checkpoint, or the faster one in a new training."""
        if self.processes.running.precision != "auto":
            return
        name: PrecisionName = saved.get("precision", "fp32")
        if not saved:
            name, sentence = choose_precision(self.stepper, first_micro_batch(self.loader))
            self.bar.say(sentence)
        self.stepper.precision = Precision(name, self.processes.device)
        self.stepper.precision.load_state_dict(saved.get("scaler", {}))

    def _open_loggers(self) -> None:
        """Open the loggers and write the environment."""
        facts = environment(self.processes)
        running = {**self.processes.running.model_dump(), "precision": self.stepper.precision.name}
        settings = {**self.options.model_dump(mode="json"), **running}

        def begin() -> None:
            write_json(self.out / "environment.json", {**facts, "running": running})
            names = self.processes.running.loggers
            self.loggers += [LOGGERS[name](self.out, self.state.step, settings) for name in names]

        self.processes.on_leader(begin)

    def _run_epoch(self, request: guards.StopRequest) -> None:
        """Run the remaining steps of an epoch."""
        running, state, epoch = self.processes.running, self.state, self.state.epochs
        training_mode(self.task.network, self.options)
        first = epoch * self.plan.steps
        end = min(first + self.plan.steps, self.stepper.steps)
        self.plan.at(epoch, state.step - first, end - first)
        self.bar.start(state.step)
        for micro_batches in batches(self.loader, self.plan.accumulate):
            with guards.memory_watched(self.stepper.advise):
                stop = self._run_step(micro_batches, request)
            if state.step < end:  # the checkpoint after the last step of an epoch waits for the callbacks
                if running.save_every and state.step % running.save_every == 0:
                    self._save()
                if stop:
                    self._stop()

    def _run_step(self, micro_batches: Sequence[Batch], request: guards.StopRequest) -> bool:
        """Run a step; returns whether a process was asked to stop."""
        state, stepper = self.state, self.stepper
        logged = (state.step + 1) % self.processes.running.log_every == 0
        result = stepper.backward(micro_batches, state.step, state.epochs, logged=logged, request=request)
        problem = guards.find_problem(
            result.loss,
            result.norm,
            state.usual,
            state.step,
            explode=self.options.explode,
            fp16=stepper.precision.name == "fp16",
        )
        if problem:
            self._fail(problem, result, micro_batches)
        rate = stepper.update(state.step, result.norm)
        if self.ema is not None:
            self.ema.update(self.task.network, state.step)
        state.usual = guards.update_mean_loss(state.usual, result.loss, state.step)
        state.step += 1
        self.sums.add(result.numbers)
        self.bar.advance(state.epochs + 1, self.epochs, result.loss)
        if logged:
            gathered = self.processes.gather(result.values)  # a process may lack a number
            values = mean_of_each(pair for each in gathered for pair in each.items())
            self._log({**values, "lr": rate, "grad_norm": result.norm, "images_per_s": self.bar.speed})
        return result.stop

    def _end_epoch(self, callbacks: Sequence[Callback]) -> None:
        """Call the callbacks, log and watch their numbers, and save a checkpoint."""
        state, options = self.state, self.options
        state.means = {name: value / max(count, 1) for name, (value, count) in self._total_sums().items()}
        self.sums = Sums(self.processes.device)
        returned = self._call(callbacks)
        state.epochs += 1
        self._log({**{f"epoch/{name}": value for name, value in state.means.items()}, **returned})
        if options.watch is not None:
            numbers = {LOSS: state.means[LOSS], **returned}
            if options.watch not in numbers:
                known = suggest(options.watch, [*numbers])
                raise UsageError(f"No callback returns the watched number '{options.watch}'. {known}")
            state.watch(numbers[options.watch], more=options.better == "more")
        if state.epochs == self.epochs:
            state.over = "done"
        elif options.patience is not None and state.waited >= options.patience:
            state.over = "early"
        self._save()

    def _call(self, callbacks: Sequence[Callback]) -> dict[str, float]:
        """Call the callbacks with the averaged weights if there are any; returns the leader's numbers."""
        state, network = self.state, self.task.network
        network.eval()
        end = EpochEnd(state.epochs + 1, state.step, network, state.means, self.processes, self._log_picture)
        numbers: dict[str, float] = {}
        with self.ema.inside(network) if self.ema else nullcontext(), torch.no_grad():
            for callback in callbacks:
                numbers.update(callback(end) or {})
        of_leader: dict[str, float] = self.processes.from_leader(numbers)
        return of_leader

    def _save(self) -> None:
        sums = self._total_sums()
        self.processes.on_leader(lambda: self._write_checkpoint(sums))

    def _write_checkpoint(self, sums: Mapping[str, Sequence[float]]) -> None:
        parts, facts = snapshot(self.stepper, self.ema)
        self.checkpoints.save(self.state.step, parts, {**facts, "standing": {**asdict(self.state), "sums": sums}})
        every = self.processes.running.keep_every * self.plan.steps
        kept = {step for step in self.checkpoints.steps() if every and step % every == 0}
        self.checkpoints.prune({*kept, self.state.best_step})

    def _total_sums(self) -> dict[str, list[float]]:
        """Sums of this epoch over all processes."""
        total: dict[str, list[float]] = {}
        for sums in self.processes.gather(self.sums.read()):
            for name, (value, count) in sums.items():
                before = total.get(name, [0.0, 0])
                total[name] = [before[0] + value, before[1] + count]
        return total

    def _log(self, values: Mapping[str, float]) -> None:
        def log() -> None:
            for logger in self.loggers:
                logger.numbers(self.state.step, self.state.epochs, values)

        self.processes.on_leader(log)  # an error of the leader, such as a full disk, stops all processes

    def _log_picture(self, name: str, picture: NDArray[np.uint8]) -> None:
        for logger in self.loggers:
            logger.picture(self.state.step, name, picture)

    def _stop_if(self, request: guards.StopRequest) -> None:
        """Save and stop after an epoch if any process received a signal."""
        if any(self.processes.gather(request.made)) and not self.state.over:
            self._stop()

    def _stop(self) -> None:
        """Save and stop."""
        self._save()
        raise Interrupted(
            f"Stopped after step {self.state.step} of {self.stepper.steps}, saved as "
            f"{self.checkpoints.path(self.state.step)}. Run the same command again to continue."
        )

    def _fail(self, problem: str, result: StepResult, micro_batches: Sequence[Batch]) -> None:
        """Write a dump of the step that exploded, and stop."""
        step = self.state.step
        names = [name for part in self.processes.gather(image_names(micro_batches)) for name in part]
        dump = self.out / f"exploded-{step:08d}" / f"process-{self.processes.rank}"
        facts = {
            "what": problem,
            "step": step,
            "epoch": self.state.epochs,
            "images": image_names(micro_batches),
            "gradient": repr(result.norm),
            "values": {name: repr(value) for name, value in result.read().items()},
        }
        guards.write_dump(dump, self.task.network, micro_batches, facts)
        raise guards.Exploded(guards.explain(problem, step, names, dump.parent))
