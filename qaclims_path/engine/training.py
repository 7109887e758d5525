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
from qaclims_path.engine.distributed import Team
from qaclims_path.engine.ema import RunningMean
from qaclims_path.engine.environment import environment
from qaclims_path.engine.loggers import LOGGERS, Logger
from qaclims_path.engine.network import prepare, training_mode
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Name, Precision
from qaclims_path.engine.probe import choose_precision
from qaclims_path.engine.sampling import Plan, batches, first_piece, names_of
from qaclims_path.engine.settings import LOSS, TrainOptions
from qaclims_path.engine.state import Standing, restore, snapshot
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
        team: The processes at work.
        plan: Which images come when.
        stepper: Does the steps.
        mean: Running mean of weights, where one is kept.
        standing: Where the training stands.
        bar: Shows it.
    """

    def __init__(
        self, task: Task, options: TrainOptions, out: Path, team: Team, plan: Plan, loader: DataLoader[Any]
    ) -> None:
        self.task, self.options, self.out, self.team, self.plan, self.loader = task, options, out, team, plan, loader
        training_mode(task.network, options)
        prepare(task.network, team, options)
        name = team.running.precision
        precision = Precision("fp32" if name == "auto" else name, team.device)
        steps = plan.steps * options.epochs
        self.stepper = Stepper(task, build_optimizer(task, options), precision, options, team, steps)
        self.mean = RunningMean(task.network, options.ema) if options.ema else None
        self.standing = Standing()
        self.checkpoints = Checkpoints(out / CHECKPOINTS)
        self.loggers: list[Logger] = []
        self.bar = Bar(steps, options.batch, team.device, shown=team.leads and not team.running.quiet)

    def run(self, asked: guards.Asked, callbacks: Sequence[Callback]) -> None:
        """Train until it is over, or until somebody asks to stop."""
        with self.bar:
            self._settle(self._resume())
            self._open()
            try:
                while not self.standing.over:
                    self._epoch(asked)
                    self._end_epoch(callbacks)
                    self._stop_if(asked)
            finally:
                for logger in self.loggers:
                    logger.close()

    def _resume(self) -> Facts:
        """Go to the last checkpoint, if there is one; returns its facts."""
        if self.team.leads:
            self.checkpoints.sweep()
        last = self.team.agree(next(reversed(self.checkpoints.steps()), None))
        if last is None:
            return {}
        parts, facts = self.checkpoints.load(last)
        restore(self.stepper, self.mean, parts, facts, self.checkpoints.path(last))
        self.standing = Standing.of(facts["standing"])
        if not self.team.leads:
            self.standing.sums = {}  # the leader goes on with everybody's
        self.bar.say(f"Going on after step {last} of {self.stepper.steps}.")
        return facts

    def _settle(self, earlier: Facts) -> None:
        """Settle the precision: as asked for, as before a stop, or the faster one."""
        if self.team.running.precision != "auto":
            return
        name: Name = earlier.get("precision", "fp32")
        if not earlier:
            name, sentence = choose_precision(self.stepper, first_piece(self.loader))
            self.bar.say(sentence)
        self.stepper.precision = Precision(name, self.team.device)

    def _open(self) -> None:
        """Open the loggers and write down what this runs on."""
        facts = environment(self.team)
        running = {**asdict(self.team.running), "precision": self.stepper.precision.name}
        settings = {**self.options.model_dump(mode="json"), **running}

        def begin() -> None:
            write_json(self.out / "environment.json", {**facts, "running": running})
            names = self.team.running.loggers
            self.loggers += [LOGGERS[name](self.out, self.standing.step, settings) for name in names]

        self.team.led(begin)

    def _epoch(self, asked: guards.Asked) -> None:
        """Do the steps that are left of an epoch."""
        running, standing, epoch = self.team.running, self.standing, self.standing.epochs
        training_mode(self.task.network, self.options)
        self.plan.at(epoch, standing.step - epoch * self.plan.steps)
        end = (epoch + 1) * self.plan.steps
        self.bar.start(standing.step)
        for pieces in batches(self.loader, self.options.accumulate):
            with guards.memory_watched(self.stepper.advice):
                self._step(pieces)
            if standing.step < end:  # the last step of an epoch is saved with what the callbacks say
                if running.save_every and standing.step % running.save_every == 0:
                    self._save()
                self._stop_if(asked)

    def _step(self, pieces: Sequence[Batch]) -> None:
        standing, stepper = self.standing, self.stepper
        numbers = stepper.backward(pieces, standing.step, standing.epochs)
        fp16 = stepper.precision.name == "fp16"
        most = self.options.explode
        what = guards.problem(numbers.loss, numbers.norm, standing.usual, standing.step, most=most, fp16=fp16)
        if what:
            self._fail(what, numbers, pieces)
        rate = stepper.update(standing.step)
        self.team.share_buffers(self.task.network)
        if self.mean is not None:
            self.mean.update(self.task.network, standing.step)
        standing.usual = guards.usual(standing.usual, numbers.loss, standing.step)
        standing.step += 1
        standing.add(numbers.values)
        self.bar.advance(standing.epochs + 1, self.options.epochs, numbers.loss)
        if standing.step % self.team.running.log_every == 0:
            values = _mean_of(self.team.gather(numbers.values))
            self._log({**values, "lr": rate, "grad_norm": numbers.norm, "images_per_s": self.bar.speed})

    def _end_epoch(self, callbacks: Sequence[Callback]) -> None:
        """Ask the callbacks, watch, and save."""
        standing, options = self.standing, self.options
        standing.means = _means(self._sums())
        standing.sums = {}
        said = self._ask(callbacks)
        standing.epochs += 1
        self._log({**{f"epoch/{name}": value for name, value in standing.means.items()}, **said})
        if options.watch is not None:
            known = {LOSS: standing.means[LOSS], **said}
            if options.watch not in known:
                raise UsageError(
                    f"No callback says '{options.watch}', which is watched. {suggest(options.watch, [*known])}"
                )
            standing.judge(known[options.watch], more=options.better == "more")
        if standing.epochs == options.epochs:
            standing.over = "done"
        elif options.patience is not None and standing.waited >= options.patience:
            standing.over = "early"
        self._save()

    def _ask(self, callbacks: Sequence[Callback]) -> dict[str, float]:
        """Call the callbacks with the weights that count."""
        standing, network = self.standing, self.task.network
        network.eval()
        end = EpochEnd(standing.epochs + 1, standing.step, network, standing.means, self.team, self._picture)
        said: dict[str, float] = {}
        with self.mean.inside(network) if self.mean else nullcontext(), torch.no_grad():
            for callback in callbacks:
                said.update(callback(end) or {})
        agreed: dict[str, float] = self.team.agree(said)
        return agreed

    def _save(self) -> None:
        sums = self._sums()
        self.team.led(lambda: self._write(sums))

    def _write(self, sums: Mapping[str, Sequence[float]]) -> None:
        parts, facts = snapshot(self.stepper, self.mean)
        self.checkpoints.save(self.standing.step, parts, {**facts, "standing": {**asdict(self.standing), "sums": sums}})
        every = self.team.running.keep_every * self.plan.steps
        marked = {step for step in self.checkpoints.steps() if every and step % every == 0}
        self.checkpoints.prune({*marked, self.standing.best_step})

    def _sums(self) -> dict[str, list[float]]:
        """Everybody's sums of this epoch."""
        total: dict[str, list[float]] = {}
        for sums in self.team.gather(self.standing.sums):
            for name, (value, count) in sums.items():
                before = total.get(name, [0.0, 0])
                total[name] = [before[0] + value, before[1] + count]
        return total

    def _log(self, values: Mapping[str, float]) -> None:
        def log() -> None:
            for logger in self.loggers:
                logger.numbers(self.standing.step, self.standing.epochs, values)

        self.team.led(log)  # a full disk stops all

    def _picture(self, name: str, picture: NDArray[np.uint8]) -> None:
        for logger in self.loggers:
            logger.picture(self.standing.step, name, picture)

    def _stop_if(self, asked: guards.Asked) -> None:
        """Save and stop when a signal came to any process."""
        somebody = (
            self.team.total(torch.tensor(float(asked.stop), device=self.team.device)) if self.team.size > 1 else 0
        )
        if self.standing.over or not (asked.stop or somebody):
            return
        self._save()
        place = self.checkpoints.path(self.standing.step)
        raise guards.Interrupted(
            f"Stopped after step {self.standing.step} of {self.stepper.steps}, saved as {place}. "
            "Run the same command again to go on."
        )

    def _fail(self, what: str, numbers: Numbers, pieces: Sequence[Batch]) -> None:
        """Write down what made a step explode, and stop."""
        step = self.standing.step
        names = [name for part in self.team.gather(names_of(pieces)) for name in part]
        dump = self.out / f"exploded-{step:08d}" / f"process-{self.team.rank}"
        facts = {
            "what": what,
            "step": step,
            "epoch": self.standing.epochs,
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
