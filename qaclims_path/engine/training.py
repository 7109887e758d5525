"""A training under way: epochs of steps, what is logged, watched and saved, and how it goes on after a stop."""

from collections.abc import Iterator, Mapping, Sequence
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
from qaclims_path.engine.checkpoint import Checkpoints
from qaclims_path.engine.ema import RunningMean
from qaclims_path.engine.environment import environment
from qaclims_path.engine.loggers import LOGGERS, Logger
from qaclims_path.engine.network import prepare, training_mode
from qaclims_path.engine.optim import build_optimizer
from qaclims_path.engine.precision import Name, Precision
from qaclims_path.engine.probe import choose_precision
from qaclims_path.engine.sampling import Plan, names_of, plainly
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.standing import Standing, load_network, pack_optimizer, unpack_optimizer
from qaclims_path.engine.stepper import Numbers, Stepper
from qaclims_path.engine.task import Batch, Callback, EpochEnd, Stateful, Task
from qaclims_path.engine.team import Team
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.registry import suggest

CHECKPOINTS = "checkpoints"


class Training:
    """Everything that changes while a task is trained.

    Attributes:
        task: What is trained.
        options: Of the training.
        out: Folder of the run.
        team: The processes at work.
        plan: Which images come when.
        stepper: Does the steps.
        mean: Running mean of weights, where one is kept.
        standing: Where the training stands.
        means: Of every named loss over the last epoch.
        speed: Images per second at last.
    """

    def __init__(
        self, task: Task, options: TrainOptions, out: Path, team: Team, plan: Plan, loader: DataLoader[Any]
    ) -> None:
        self.task, self.options, self.out, self.team, self.plan, self.loader = task, options, out, team, plan, loader
        self.network = task.network
        training_mode(self.network, options)
        prepare(self.network, team, options)
        name = team.running.precision
        precision = Precision("fp32" if name == "auto" else name, team.device)
        self.stepper = Stepper(
            task, build_optimizer(task, options), precision, options, team, plan.steps * options.epochs
        )
        self.mean = RunningMean(self.network, options.ema) if options.ema else None
        self.standing = Standing()
        self.checkpoints = Checkpoints(out / CHECKPOINTS)
        self.loggers: list[Logger] = []
        self.means: dict[str, float] = {}
        self.speed = 0.0

    def run(self, asked: guards.Asked, callbacks: Sequence[Callback]) -> Standing:
        """Train until it is over."""
        running, standing = self.team.running, self.standing
        known = self._resume()
        with Bar(
            self.stepper.steps, self.standing.step, self.options.batch, self.team.device,
            shown=self.team.leads and not running.quiet,
        ) as bar:
            self._settle_precision(known, bar)
            self._describe()
            while not self.standing.over:
                self._epoch(bar, asked)
                self._end_epoch(callbacks)
                bar.resume()
                self._stop_if(asked)
            self.speed = bar.speed
        for logger in self.loggers:
            logger.close()
        return self.standing
