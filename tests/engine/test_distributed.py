"""Several processes train like one, whether the engine, torchrun or SLURM starts them, and stop together."""

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
from qaclims_path.errors import Interrupted, UsageError

TOY = Path(__file__).parent / "toy.py"
OPTIONS = {"epochs": 7, "batch": 8, "lr": 0.05, "batchnorm": "frozen", "ema": 0.9}
TASK = {"dropout": 0.0}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(
    out: Path,
    run: dict,
    *,
    task: dict = TASK,
    options: dict = OPTIONS,
    launcher: list[str] | None = None,
    more: dict | None = None,
    **env: str,
) -> subprocess.Popen:
    settings = json.dumps({"task": task, "options": options, "run": run, **(more or {})})
    command = [*(launcher or [sys.executable]), str(TOY), str(out), settings]
    threads = {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env={**os.environ, **threads, **env}, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, code: int = 0) -> str:
    stderr = process.communicate(timeout=300)[1]
    assert process.returncode == code, stderr
    return stderr


def as_slurm_would(out: Path, nodes: int, **kwargs: dict) -> list[subprocess.Popen]:
    """Start one process per SLURM node, all of them on this machine."""
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
    """A training by two processes that the engine started; a call on its leader fails before."""
    out = tmp_path_factory.mktemp("two")
    finish(start(out, {"devices": 2}, more={"fail_first": True}))
    return out


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(two: Path, tmp_path: Path, toy: ModuleType) -> None:
    toy.train(tmp_path, TASK, OPTIONS, {})
    assert len(losses(tmp_path)) > 20
    assert losses(two) == pytest.approx(losses(tmp_path), abs=1e-5)
    alone, together = load_file(tmp_path / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert all(torch.allclose(alone[name], together[name], atol=1e-5) for name in alone)


@pytest.mark.slow
def test_batch_norms_of_two_processes_are_those_of_one_with_the_whole_batch(tmp_path: Path, toy: ModuleType) -> None:
    """Their statistics, too, which are saved."""
    options = {**OPTIONS, "batchnorm": "train", "epochs": 3}
    finish(start(tmp_path / "two", {"devices": 2}, options=options))
    toy.train(tmp_path / "one", TASK, options, {})
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert {name for name in one if "running" in name} == {"1.running_mean", "1.running_var"}
    assert not torch.equal(one["1.running_mean"], torch.zeros(4))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("bucket", [1, 300], ids=["a bucket for each", "buckets of some"])
def test_gradients_of_two_processes_are_those_of_one(bucket: int, tmp_path: Path, toy: ModuleType) -> None:
    """Also where a parameter is used by one process or by none, and where a process has no loss."""
    task, options = {**TASK, "uneven": True}, {**OPTIONS, "epochs": 2, "weight_decay": 0.1}
    finish(start(tmp_path / "two", {"devices": 2}, task=task, options=options, more={"bucket": bucket}))
    toy.train(tmp_path / "one", task, {**options, "accumulate": 2}, {})
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert not torch.equal(two["rare"], torch.ones(2))
    before = toy.Sorting(**task).network.state_dict()
    assert torch.equal(two["unused"], torch.ones(2))  # a gradient of zero would let it decay
    assert not torch.equal(two["0.weight"], before["0.weight"])


@pytest.mark.slow
def test_another_number_of_processes_continues_with_its_own_micro_batches(tmp_path: Path, toy: ModuleType) -> None:
    """One process splits its 8 images in 2 parts, each of two processes its 4 images in 2: 3 divides neither."""
    options = {**OPTIONS, "accumulate": 3}
    toy.train(tmp_path / "one", TASK, options, {})
    with pytest.raises(Interrupted):
        toy.train(tmp_path / "cut", {**TASK, "at": 4, "then": "INT"}, options, {})
    finish(start(tmp_path / "cut", {"devices": 2}, options=options))
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert toy.train(tmp_path / "cut", TASK, options, {}).over == "done"


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_another_launcher_resumes(two: Path, tmp_path: Path) -> None:
    nodes = as_slurm_would(tmp_path, 2, task={**TASK, "at": 4, "then": "INT", "rank": 1})
    messages = [finish(process, 130) for process in nodes]
    assert "Stopped after step 5 of 21" in messages[0]
    finish(start(tmp_path, {"devices": "auto"}, launcher=TORCHRUN))
    assert (tmp_path / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    assert losses(tmp_path) == losses(two)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpus_are_named() -> None:
    with pytest.raises(UsageError, match=r"^CUDA cannot be used here: .*, or use --accelerator cpu\.$"):
        launch(RunSettings(accelerator="cuda", devices=1))


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="--devices asks for 4 GPUs, but this machine shows 2"):
        launch(RunSettings(accelerator="cuda", devices=4))


def test_one_process_is_its_own_leader(toy: ModuleType) -> None:
    processes = launch(toy.running())
    assert (processes.rank, processes.size, processes.is_leader) == (0, 1, True)
    assert processes.gather("a") == ["a"]
    assert processes.from_leader("b") == processes.on_leader(lambda: "b") == "b"
    with pytest.raises(UsageError, match="why"):
        processes.on_leader(lambda: (_ for _ in ()).throw(UsageError("why")))


@pytest.mark.slow
def test_an_error_on_the_leader_reaches_all_processes(two: Path) -> None:
    """Only the leader raises the error itself; without one, the other process would wait for ever."""
    leader, other = ((two / f"process-{rank}").read_text() for rank in (0, 1))
    assert leader == "ZeroDivisionError: integer division or modulo by zero"
    assert other.startswith("QaclimsError: Process 0 was stopped by an error: ZeroDivisionError: integer")
