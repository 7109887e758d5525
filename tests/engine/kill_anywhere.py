"""Kills trainings at every step and at random moments, goes on, and compares with one that was never stopped.

A script, because it forks after torch is loaded: `python kill_anywhere.py FOLDER` prints one word per way to die.
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
import toy

OPTIONS = {"epochs": 2, "batch": 8, "accumulate": 2, "lr": 0.05, "ema": 0.9, "watch": "right", "clip": 1.0}
RUN = {"save_every": 2, "keep_every": 1}
STEPS = 6
LONG = 12  # epochs of the training that dies at random moments


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked process; returns its raw status."""
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


def traces(out: Path) -> dict[str, object]:
    """Everything that must not depend on having been killed."""
    files = sorted(path for path in out.rglob("*") if path.suffix == ".safetensors" or path.name == "state.json")
    with (out / "log.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "images_per_s"} for row in csv.DictReader(file)]
    return {**{str(path.relative_to(out)): path.read_bytes() for path in files}, "rows": rows}


def timed(out: Path, seconds: float) -> None:
    """Train with an alarm of processor time that nobody handles, which ends the process wherever it is."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    train(out, "sgd", LONG)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for optimizer in ("sgd", "adamw"):
        whole = folder / optimizer
        assert in_child(lambda whole=whole, optimizer=optimizer: train(whole, optimizer)) == 0
        expected = traces(whole)
        for step in range(STEPS) if optimizer == "sgd" else [3]:
            out = folder / f"{optimizer}-{step}"
            died = in_child(lambda o=out, s=step, p=optimizer: train(o, p, at=s, then="KILL"))
            assert os.WTERMSIG(died) == signal.SIGKILL
            assert in_child(lambda o=out, p=optimizer: train(o, p)) == 0
            assert traces(out) == expected, out
            sys.stdout.write(f"step-{step}\n")
    chance, out, seconds, deaths = random.Random(0), folder / "timed", 0.02, 0
    assert in_child(lambda: train(folder / "long", "sgd", LONG)) == 0
    while in_child(partial(timed, out, seconds)) != 0:
        deaths += 1
        seconds = chance.uniform(0.02, 0.1) + 0.01 * deaths
    assert traces(out) == traces(folder / "long")
    sys.stdout.write(f"random-{deaths}\n")


if __name__ == "__main__":
    main()
