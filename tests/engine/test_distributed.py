"""Several processes: the same training as one, started by us, by torchrun or by SLURM, and stopped together."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from qaclims_path.engine.distributed import launch
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import UsageError

TOY = Path(__file__).parent / "toy.py"
OPTIONS = {"epochs": 7, "batch": 8, "lr": 0.05, "batchnorm": "frozen", "ema": 0.9}
TASK = {"dropout": 0.0}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(out: Path, run: dict, *, task: dict = TASK, under: list[str] | None = None, **env: str) -> subprocess.Popen:
    settings = json.dumps({"task": task, "options": OPTIONS, "run": run})
    command = [*(under or [sys.executable]), str(TOY), str(out), settings]
    threads = {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env={**os.environ, **threads, **env}, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, code: int = 0) -> str:
    said = process.communicate(timeout=300)[1]
    assert process.returncode == code, said
    return said


def as_slurm_would(out: Path, nodes: int, **kwargs: dict) -> list[subprocess.Popen]:
    """Start one process on each of some 'nodes', which are all this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"SLURM_NTASKS": str(nodes), "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": str(nodes)}
    shared |= {"SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7", "SLURM_NODELIST": "localhost"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{"SLURM_PROCID": str(n), "SLURM_NODEID": str(n), "SLURM_LOCALID": "0"} for n in range(nodes)]
    run = {"devices": "auto", "nodes": "auto"}
    return [start(out, run, **kwargs, **shared, **rank) for rank in ranks]


def losses(out: Path) -> list[float]:
    with (out / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by two processes that started themselves."""
    out = tmp_path_factory.mktemp("two")
    finish(start(out, {"devices": 2}))
    return out


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(two: Path, tmp_path: Path, toy: ModuleType) -> None:
    toy.train(tmp_path, TASK, OPTIONS, {})
    assert len(losses(tmp_path)) > 20
    assert losses(two) == pytest.approx(losses(tmp_path), abs=1e-5)
    alone, together = load_file(tmp_path / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert all(torch.allclose(alone[name], together[name], atol=1e-5) for name in alone)


@pytest.mark.slow
def test_a_signal_to_one_stops_all_and_another_launcher_goes_on(two: Path, tmp_path: Path) -> None:
    nodes = as_slurm_would(tmp_path, 2, task={**TASK, "at": 4, "then": "INT", "rank": 1})
    said = [finish(process, 130) for process in nodes]
    assert "Stopped after step 5 of 21" in said[0]
    finish(start(tmp_path, {"devices": "auto"}, under=TORCHRUN))
    assert (tmp_path / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    assert losses(tmp_path) == losses(two)


def test_devices_that_are_not_there_are_a_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="--devices"):
        launch(RunSettings(accelerator="cuda", devices=1))


def test_one_process_shares_nothing(toy: ModuleType) -> None:
    processes = launch(toy.running())
    assert (processes.rank, processes.size, processes.is_leader) == (0, 1, True)
    assert processes.gather("a") == ["a"]
    assert processes.from_leader("b") == processes.on_leader(lambda: "b") == "b"
    with pytest.raises(UsageError, match="why"):
        processes.on_leader(lambda: (_ for _ in ()).throw(UsageError("why")))


FAILING = """
import sys
from pathlib import Path
from qaclims_path.engine.settings import RunSettings
from qaclims_path.engine.distributed import launch

processes = launch(RunSettings(accelerator="cpu", devices=2))
try:
    processes.on_leader(lambda: 1 // 0)
except Exception as error:
    Path(sys.argv[1], f"process-{processes.rank}").write_text(f"{type(error).__name__}: {error}")
"""


@pytest.mark.slow
def test_nobody_waits_for_a_leader_that_fails(tmp_path: Path) -> None:
    """The leader keeps its own error; the other process would wait in a broadcast if it were told nothing."""
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, script, tmp_path], env=environment, timeout=120, check=True)
    said = [(tmp_path / f"process-{rank}").read_text() for rank in (0, 1)]
    assert said[0] == "ZeroDivisionError: integer division or modulo by zero"
    assert said[1].startswith("QaclimsError: The leading process was stopped by an error: ZeroDivisionError: integer")
