"""A training under way: epochs of steps, what is logged, watched and saved, and how it goes on after a stop."""

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
from qaclims_path.engine.ema import RunningMean
from qaclims_path.engine.environment import environment
from qaclims_path.engine.loggers import LOGGERS, Logger
from qaclims_path.engine.network import prepare, training_mode
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Name, Precision
from qaclims_path.engine.probe import choose_precision
from qaclims_path.engine.sampling import BatchPlan, batches, first_piece, names_of
from qaclims_path.engine.settings import LOSS, TrainOptions
from qaclims_path.engine.state import TrainingState, restore, snapshot
from qaclims_path.engine.stepper import Numbers, Stepper
from qaclims_path.engine.task import Batch, Callback, EpochEnd, Task
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.registry import suggest

CHECKPOINTS = "checkpoints"


class Training:
    """Everything that changes while a task is trained.

    Attributes:
        task: What is trained.
        options: Of the training.
        out: Folder of the run, which all processes see.
        processes: The processes at work.
        plan: Which images come when.
        stepper: Does the steps.
        mean: Running mean of weights, where one is kept.
        state: Where the training stands.
        bar: Shows it.
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
        self.task, self.options, self.out, self.processes, self.plan, self.loader = (
            task,
            options,
            out,
            processes,
            plan,
            loader,
        )
        training_mode(task.network, options)
        prepare(task.network, processes, options)
        name = processes.running.precision
        precision = Precision("fp32" if name == "auto" else name, processes.device)
        steps = plan.steps * options.epochs
        self.stepper = Stepper(task, build_optimizer(task, options), precision, options, processes, steps)
        self.mean = RunningMean(task.network, options.ema) if options.ema else None
        self.state = TrainingState()
        self.checkpoints = Checkpoints(out / CHECKPOINTS)
        self.loggers: list[Logger] = []
        self.bar = Bar(
            steps, options.batch, processes.device, shown=processes.is_leader and not processes.running.quiet
        )

    def run(self, asked: guards.Asked, callbacks: Sequence[Callback]) -> None:
        """Train until it is over, or until somebody asks to stop."""
        with self.bar:
            self._settle(self._resume())
            self._open()
            try:
                while not self.state.over:
                    self._epoch(asked)
                    self._end_epoch(callbacks)
                    self._stop_if(asked)
            finally:
                for logger in self.loggers:
                    logger.close()

    def _resume(self) -> Facts:
        """Go to the last checkpoint, if there is one; returns its facts."""
        if self.processes.is_leader:
            self.checkpoints.sweep()
        last = self.processes.from_leader(next(reversed(self.checkpoints.steps()), None))
        if last is None:
            return {}
        parts, facts = self.checkpoints.load(last)
        restore(self.stepper, self.mean, parts, facts, self.checkpoints.path(last))
        self.state = TrainingState.of(facts["standing"])
        if not self.processes.is_leader:
            self.state.sums = {}  # the leader goes on with everybody's
        self.bar.say(f"Going on after step {last} of {self.stepper.steps}.")
        return facts

    def _settle(self, earlier: Facts) -> None:
        """Settle the precision: as asked for, as before a stop, or the faster one."""
        if self.processes.running.precision != "auto":
            return
        name: Name = earlier.get("precision", "fp32")
        if not earlier:
            name, sentence = choose_precision(self.stepper, first_piece(self.loader))
            self.bar.say(sentence)
        self.stepper.precision = Precision(name, self.processes.device)

    def _open(self) -> None:
        """Open the loggers and write down what this runs on."""
        facts = environment(self.processes)
        running = {**asdict(self.processes.running), "precision": self.stepper.precision.name}
        settings = {**self.options.model_dump(mode="json"), **running}

        def begin() -> None:
            write_json(self.out / "environment.json", {**facts, "running": running})
            names = self.processes.running.loggers
            self.loggers += [LOGGERS[name](self.out, self.state.step, settings) for name in names]

        self.processes.on_leader(begin)

    def _epoch(self, asked: guards.Asked) -> None:
        """Do the steps that are left of an epoch."""
        running, state, epoch = self.processes.running, self.state, self.state.epochs
        training_mode(self.task.network, self.options)
        self.plan.at(epoch, state.step - epoch * self.plan.steps)
        end = (epoch + 1) * self.plan.steps
        self.bar.start(state.step)
        for pieces in batches(self.loader, self.options.accumulate):
            with guards.memory_watched(self.stepper.advice):
                self._step(pieces)
            if state.step < end:  # the last step of an epoch is saved with what the callbacks say
                if running.save_every and state.step % running.save_every == 0:
                    self._save()
                self._stop_if(asked)

    def _step(self, pieces: Sequence[Batch]) -> None:
        state, stepper = self.state, self.stepper
        numbers = stepper.backward(pieces, state.step, state.epochs)
        fp16 = stepper.precision.name == "fp16"
        most = self.options.explode
        what = guards.problem(numbers.loss, numbers.norm, state.usual, state.step, most=most, fp16=fp16)
        if what:
            self._fail(what, numbers, pieces)
        rate = stepper.update(state.step)
        self.processes.broadcast_buffers(self.task.network)
        if self.mean is not None:
            self.mean.update(self.task.network, state.step)
        state.usual = guards.usual(state.usual, numbers.loss, state.step)
        state.step += 1
        state.add(numbers.values)
        self.bar.advance(state.epochs + 1, self.options.epochs, numbers.loss)
        if state.step % self.processes.running.log_every == 0:
            values = _mean_of(self.processes.gather(numbers.values))
            self._log({**values, "lr": rate, "grad_norm": numbers.norm, "images_per_s": self.bar.speed})

    def _end_epoch(self, callbacks: Sequence[Callback]) -> None:
        """Ask the callbacks, watch, and save."""
        state, options = self.state, self.options
        state.means = _means(self._sums())
        state.sums = {}
        said = self._ask(callbacks)
        state.epochs += 1
        self._log({**{f"epoch/{name}": value for name, value in state.means.items()}, **said})
        if options.watch is not None:
            known = {LOSS: state.means[LOSS], **said}
            if options.watch not in known:
                raise UsageError(
                    f"No callback says '{options.watch}', which is watched. {suggest(options.watch, [*known])}"
                )
            state.judge(known[options.watch], more=options.better == "more")
        if state.epochs == options.epochs:
            state.over = "done"
        elif options.patience is not None and state.waited >= options.patience:
            state.over = "early"
        self._save()

    def _ask(self, callbacks: Sequence[Callback]) -> dict[str, float]:
        """Call the callbacks with the weights that count."""
        state, network = self.state, self.task.network
        network.eval()
        end = EpochEnd(state.epochs + 1, state.step, network, state.means, self.processes, self._picture)
        said: dict[str, float] = {}
        with self.mean.inside(network) if self.mean else nullcontext(), torch.no_grad():
            for callback in callbacks:
                said.update(callback(end) or {})
        agreed: dict[str, float] = self.processes.from_leader(said)
        return agreed

    def _save(self) -> None:
        sums = self._sums()
        self.processes.on_leader(lambda: self._write(sums))

    def _write(self, sums: Mapping[str, Sequence[float]]) -> None:
        parts, facts = snapshot(self.stepper, self.mean)
        self.checkpoints.save(self.state.step, parts, {**facts, "standing": {**asdict(self.state), "sums": sums}})
        every = self.processes.running.keep_every * self.plan.steps
        marked = {step for step in self.checkpoints.steps() if every and step % every == 0}
        self.checkpoints.prune({*marked, self.state.best_step})

    def _sums(self) -> dict[str, list[float]]:
        """Everybody's sums of this epoch."""
        total: dict[str, list[float]] = {}
        for sums in self.processes.gather(self.state.sums):
            for name, (value, count) in sums.items():
                before = total.get(name, [0.0, 0])
                total[name] = [before[0] + value, before[1] + count]
        return total

    def _log(self, values: Mapping[str, float]) -> None:
        def log() -> None:
            for logger in self.loggers:
                logger.numbers(self.state.step, self.state.epochs, values)

        self.processes.on_leader(log)  # a full disk stops all

    def _picture(self, name: str, picture: NDArray[np.uint8]) -> None:
        for logger in self.loggers:
            logger.picture(self.state.step, name, picture)

    def _stop_if(self, asked: guards.Asked) -> None:
        """Save and stop when a signal came to any process."""
        somebody = (
            self.processes.sum(torch.tensor(float(asked.stop), device=self.processes.device))
            if self.processes.size > 1
            else 0
        )
        if self.state.over or not (asked.stop or somebody):
            return
        self._save()
        place = self.checkpoints.path(self.state.step)
        raise guards.Interrupted(
            f"Stopped after step {self.state.step} of {self.stepper.steps}, saved as {place}. "
            "Run the same command again to go on."
        )

    def _fail(self, what: str, numbers: Numbers, pieces: Sequence[Batch]) -> None:
        """Write down what made a step explode, and stop."""
        step = self.state.step
        names = [name for part in self.processes.gather(names_of(pieces)) for name in part]
        dump = self.out / f"exploded-{step:08d}" / f"process-{self.processes.rank}"
        facts = {
            "what": what,
            "step": step,
            "epoch": self.state.epochs,
            "images": names_of(pieces),
            "gradient": repr(numbers.norm),
            "values": {name: repr(value) for name, value in numbers.values.items()},
        }
        guards.write_dump(dump, self.task.network, pieces, facts)
        raise guards.Exploded(guards.explain(what, step, names, dump.parent))


def _means(sums: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: value / max(count, 1) for name, (value, count) in sums.items()}


def _mean_of(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every name over those that have it."""
    named: dict[str, list[float]] = {}
    for each in values:
        for name, value in each.items():
            named.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in named.items()}
