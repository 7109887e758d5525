"""Train the toy task in two processes on one device, joined by gloo: `python two_processes.py DEVICE OUT`."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed, multiprocessing

from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.loop import fit
from qaclims_path.engine.settings import TrainOptions


def broadcast(value: Any) -> Any:
    """Return the value of process 0, as Fabric does."""
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def train(rank: int, device: str, out: Path, size: int = 2) -> None:
    """Train as one of `size` processes."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).parents[1] / "engine" / "toy.py")
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    torch.set_num_threads(1)
    if size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{out}.meeting", rank=rank, world_size=size)
    fabric = SimpleNamespace(global_rank=rank, world_size=size, device=torch.device(device), broadcast=broadcast)
    options = TrainOptions(epochs=2, batch=4, lr=0.01, batchnorm="frozen", ema=0.9, clip=1.0)
    running = toy.running(accelerator="cpu" if device == "cpu" else "cuda")
    fit(toy.Sorting(dropout=0.0), toy.Squares(8), options, out, processes=Processes(fabric, running, size))
    if size > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(train, (sys.argv[1], Path(sys.argv[2])), nprocs=2)
