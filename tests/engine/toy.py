"""A task small enough to train in milliseconds: a network with batch norm and dropout on noisy squares.

As a script it trains in a process of its own: `python toy.py OUT JSON`, see `main`.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

if __name__ == "__main__":  # Lightning imports torchmetrics if it is installed, which takes seconds and is never used
    sys.modules["torchmetrics"] = None

from qaclims_path.engine import gradients
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.errors import QaclimsError


def running(**changes: object) -> RunSettings:
    """Settings of one process on the CPU that logs every step."""
    defaults = {"devices": 1, "accelerator": "cpu", "precision": "fp32", "workers": 0, "log_every": 1, "quiet": True}
    return RunSettings(**{"loggers": ("csv",), **defaults, **changes})


class Squares:
    """Images of a bright or dark square at a random position with noise; `poison` replaces a pixel of item 3."""

    def __init__(self, count: int = 24, poison: float | None = None) -> None:
        self.count = count
        self.poison = poison

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        bright = index % 2
        image = torch.rand(3, 8, 8) * 0.1
        row, column = torch.randint(0, 4, (2,)).tolist()
        image[:, row : row + 4, column : column + 4] += bright
        if index == 3 and self.poison is not None:
            image[0, 0, 0] = self.poison
        return {"id": f"square-{index}", "image": image, "bright": torch.tensor(float(bright))}


class Sorting:
    """Task that classifies bright and dark and counts the images seen; half of its loss is a mean over bright images.

    In step `at` it sends the signal `then` to its process, or with `group` to all processes of its group. If `uneven`,
    it calls the network twice, a parameter is used only for the micro-batches of two images and another one never, and
    the micro-batches of another image have a loss without gradient.
    """

    def __init__(
        self,
        dropout: float = 0.2,
        width: int = 4,
        at: int = -1,
        then: int = 0,
        *,
        group: bool = False,
        uneven: bool = False,
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(
                *(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout)),
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1)),
            )
        self.seen = torch.zeros(1)
        self.at, self.then, self.group, self.uneven = at, then, group, uneven
        if uneven:
            self.network.rare, self.network.unused = (nn.Parameter(torch.ones(2)) for _ in range(2))

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        body, head = self.network[:6], self.network[6]
        rest = [self.network.unused, self.network.rare] if self.uneven else []
        return [{"params": [*body.parameters(), *rest]}, {"params": list(head.parameters()), "lr": 10 * lr}]

    def counts(self, batch) -> dict[str, float]:
        return {"bright": float(batch["bright"].sum())}

    def step(self, batch, info) -> dict[str, Tensor]:
        if self.then and info.step == self.at:
            os.kill(0 if self.group else os.getpid(), self.then)  # 0 is the process group
        self.seen = self.seen + len(batch["image"])
        if self.uneven:
            return self.uneven_step(batch)
        logits = self.network(batch["image"])[:, 0].float()
        dark = nn.functional.softplus(logits[batch["bright"] < 0.5]).sum() / len(logits)
        bright = nn.functional.softplus(-logits[batch["bright"] > 0.5]).sum() / info.counts["bright"]
        return {"loss": dark + bright, "right": ((logits > 0) == (batch["bright"] > 0.5)).float().mean()}

    def uneven_step(self, batch) -> dict[str, Tensor]:
        """Mean loss of two views of each image, with the exceptions of `uneven`."""
        logits = (self.network(batch["image"]) + self.network(batch["image"].flip(-1)))[:, 0]
        if {"square-3", "square-4"} & set(batch["id"]):
            logits = logits * self.network.rare.sum()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch["bright"])
        return {"loss": loss.detach() if "square-5" in batch["id"] else loss}

    def state_dict(self) -> dict[str, Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state) -> None:
        self.seen = state["seen"].clone()


def seen_right(end) -> dict[str, float]:
    """Callback that returns the mean of `right`."""
    return {"right": end.means["right"]} if "right" in end.means else {}


def fail_on_leader(processes: Processes, out: Path) -> None:
    """Write the error that each process raises when a call on the leader fails."""
    try:
        processes.on_leader(lambda: 1 // 0)
    except Exception as error:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"process-{processes.rank}").write_text(f"{type(error).__name__}: {error}")


def train(
    out: Path, task: dict, options: dict, run: dict, *, fail_first: bool = False, bucket: int | None = None
) -> FitResult:
    """Train on squares; `fail_first` calls `fail_on_leader` before, `bucket` are the bytes of a bucket of gradients."""
    gradients.BUCKET = bucket or gradients.BUCKET
    processes = launch(running(**run))
    if fail_first:
        fail_on_leader(processes, out)
    signal_of = {"KILL": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM}
    arguments = dict(task)
    if arguments.pop("rank", processes.rank) != processes.rank:
        arguments.pop("then", None)
    arguments["then"] = signal_of.get(arguments.get("then", ""), 0)
    return fit(
        Sorting(**arguments), Squares(), TrainOptions(**options), out, processes=processes, callbacks=[seen_right]
    )


def main() -> None:
    """`toy.py OUT '{"task": ..., "options": ..., "run": ...}'`: ends with the exit code of the command line."""
    torch.set_num_threads(1)
    try:
        train(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    except QaclimsError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
