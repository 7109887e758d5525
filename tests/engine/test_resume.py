"""A training that was stopped at any moment and resumed equals one that was never stopped, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qaclims_path.errors import BadFile, Interrupted, UsageError
from qaclims_path.files.lock import Locked, locked

HERE = Path(__file__).parent
OPTIONS = {"epochs": 2, "batch": 8, "lr": 0.05}


@pytest.mark.slow
def test_a_training_killed_at_any_moment_resumes(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "kill_anywhere.py"), str(tmp_path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    *steps, random_kills = done.stdout.split()
    assert steps == [*(f"step-{step}" for step in range(6)), "step-3"]
    assert random_kills.startswith("random-")


def test_ctrl_c_saves_and_the_training_resumes(toy, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"Stopped after step 2 of 6.*Run the same command again") as caught:
        toy.train(tmp_path, {"at": 1, "then": "INT"}, OPTIONS, {})
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    toy.train(tmp_path, {}, OPTIONS, {})
    toy.train(tmp_path / "uninterrupted", {}, OPTIONS, {})
    assert (tmp_path / "weights.safetensors").read_bytes() == (
        tmp_path / "uninterrupted" / "weights.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_a_sigterm_to_the_process_group_saves_and_ends_workers(tmp_path: Path) -> None:
    task = {"at": 1, "then": "TERM", "group": True}
    settings = json.dumps({"task": task, "options": OPTIONS, "run": {"workers": 1}})
    command = [sys.executable, str(HERE / "toy.py"), str(tmp_path), settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 130, stderr
        with pytest.raises(ProcessLookupError):  # no worker is left
            os.killpg(process.pid, 0)
    assert "Stopped after step 2 of 6, saved as" in stderr
    assert (tmp_path / "checkpoints" / "step-00000002" / "state.json").is_file()


def test_ctrl_c_in_the_last_step_of_an_epoch_waits_for_the_callbacks(toy, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="after step 3"):
        toy.train(tmp_path, {"at": 2, "then": "INT"}, OPTIONS, {})
    facts = json.loads((tmp_path / "checkpoints" / "step-00000003" / "state.json").read_text())
    assert facts["standing"]["epochs"] == 1


def test_changed_options_are_refused(toy, tmp_path: Path) -> None:
    toy.train(tmp_path, {}, OPTIONS, {})
    with pytest.raises(UsageError, match=r"epochs was 2, now 3\. Choose another --out"):
        toy.train(tmp_path, {}, {**OPTIONS, "epochs": 3}, {})


def test_another_network_is_refused(toy, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        toy.train(tmp_path, {"at": 1, "then": "INT"}, OPTIONS, {})
    with pytest.raises(UsageError, match=r"step-00000002 was made for another network or other classes: '0\.weight'"):
        toy.train(tmp_path, {"width": 5}, OPTIONS, {})


def test_options_may_change_before_the_first_checkpoint(toy, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than the batch"):
        toy.train(tmp_path, {}, {**OPTIONS, "batch": 64}, {})
    (tmp_path / "options.json").write_text(json.dumps({"batch": 64}))
    assert toy.train(tmp_path, {}, OPTIONS, {}).over == "done"


def test_a_damaged_checkpoint_is_named_and_the_earlier_one_resumes(toy, tmp_path: Path) -> None:
    toy.train(tmp_path, {}, OPTIONS, {})
    expected = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "result.json").unlink()
    last = tmp_path / "checkpoints" / "step-00000006"
    os.truncate(last / "optimizer.safetensors", 10)
    with pytest.raises(BadFile, match=r"step-00000006 is damaged: optimizer\.safetensors .* step-00000003"):
        toy.train(tmp_path, {}, OPTIONS, {})
    shutil.rmtree(last)
    toy.train(tmp_path, {}, OPTIONS, {})
    assert (tmp_path / "weights.safetensors").read_bytes() == expected


def test_two_trainings_in_one_folder_are_refused(toy, tmp_path: Path) -> None:
    with locked(tmp_path / "state" / "lock"), pytest.raises(Locked, match="is being written by"):
        toy.train(tmp_path, {}, OPTIONS, {})


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_result_is_refused(toy, tmp_path: Path, text: str) -> None:
    toy.train(tmp_path, {}, OPTIONS, {})
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(BadFile, match="Choose another --out"):
        toy.train(tmp_path, {}, OPTIONS, {})
