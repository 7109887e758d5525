"""Kills trainings at every step and at random moments, resumes them, and compares with one that was never stopped.

A script, because it forks after torch is loaded: `python kill_anywhere.py FOLDER` prints one word per killed training.
"""

import csv
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.modules["torchmetrics"] = None  # see toy.py
import toy  # noqa: E402

OPTIONS = {"epochs": 2, "batch": 8, "accumulate": 2, "lr": 0.05, "ema": 0.9, "watch": "right", "clip": 1.0}
RUN = {"save_every": 2, "keep_every": 1}
STEPS = 6
LONG = 12  # epochs of the training that is killed at random moments


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process; returns its wait status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def train(out: Path, optimizer: str, epochs: int = 2, **task: object) -> None:
    toy.train(out, task, {**OPTIONS, "optimizer": optimizer, "epochs": epochs}, RUN)


def results(out: Path) -> dict[str, object]:
    """Everything that must be the same after being killed and resumed."""
    files = sorted(path for path in out.rglob("*") if path.suffix == ".safetensors" or path.name == "state.json")
    with (out / "log.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "images_per_s"} for row in csv.DictReader(file)]
    return {**{str(path.relative_to(out)): path.read_bytes() for path in files}, "rows": rows}


def train_for(out: Path, seconds: float) -> None:
    """Train until some processor time is used; its alarm has no handler and kills the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    train(out, "sgd", LONG)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for optimizer in ("sgd", "adamw"):
        uninterrupted = folder / optimizer
        assert in_child(lambda out=uninterrupted, optimizer=optimizer: train(out, optimizer)) == 0
        expected = results(uninterrupted)
        for step in range(STEPS) if optimizer == "sgd" else [3]:
            out = folder / f"{optimizer}-{step}"
            status = in_child(lambda o=out, s=step, p=optimizer: train(o, p, at=s, then="KILL"))
            assert os.WTERMSIG(status) == signal.SIGKILL
            assert in_child(lambda o=out, p=optimizer: train(o, p)) == 0
            assert results(out) == expected, out
            sys.stdout.write(f"step-{step}\n")
    generator, out, seconds, kills = random.Random(0), folder / "timed", 0.02, 0
    assert in_child(lambda: train(folder / "long", "sgd", LONG)) == 0
    while in_child(partial(train_for, out, seconds)) != 0:
        kills += 1
        seconds = generator.uniform(0.02, 0.1) + 0.01 * kills
    assert results(out) == results(folder / "long")
    sys.stdout.write(f"random-{kills}\n")


if __name__ == "__main__":
    main()
