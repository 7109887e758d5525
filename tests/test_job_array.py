"""The example of a job array: the run of each task, and the end of its time."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

QACLIMS = """#!/usr/bin/env bash
echo "$@"
trap 'sleep 0.2; echo saved; exit 130' TERM
if [ -n "${SLOW:-}" ]; then echo begun; sleep 30 >/dev/null 2>&1 & wait; fi
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $@"
"""


@pytest.fixture
def start(tmp_path, checkout):
    """Start a task with stand-ins for the commands that it calls."""
    for name, text in (("qaclims", QACLIMS), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def started(task: int, *settings: str, **more: str) -> subprocess.Popen:
        shell = {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "DATASET": "bcss-wsss",
            "ROOT": "data folder",
        }
        environment = {**shell, "SLURM_ARRAY_TASK_ID": str(task), **more}
        script = checkout / "scripts/job_array.sh"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([script, *settings], env=environment, **pipes)

    return started


def test_every_task_has_a_method_and_a_seed(start):
    said = set()
    for task in range(4):
        out, _ = start(task, "masks.refiner=crf", METHODS="cam+ clims", SEEDS="0 7").communicate()
        said.add(out)
        assert "--root data folder" in out
        assert out.rstrip().endswith("--set masks.refiner=crf")
    for method in ("cam+", "clims"):
        for seed in (0, 7):
            where = f"run bcss-wsss/{method} --root data folder --out runs/bcss-wsss/{method}-{seed} "
            assert any(out.startswith(where) and f"--set seed={seed} " in out for out in said)


def test_a_task_beyond_the_last_is_refused(start):
    process = start(12)
    _, error = process.communicate()
    assert (process.returncode, error) == (2, "There are 4 methods x 3 seeds, so no task 12.\n")


def test_a_task_whose_time_is_over_is_queued_again(start):
    process = start(1, SLOW="yes", SLURM_JOB_ID="44", SLURM_ARRAY_JOB_ID="40")
    assert process.stdout is not None
    assert "begun\n" in process.stdout  # read until then
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert out == "saved\nscontrol requeue 40_1\n"
    assert process.returncode == 130


def test_its_options_are_those_of_the_command(checkout):
    text = Path(checkout / "scripts/job_array.sh").read_text()
    from qaclims_path.pipeline.configs import recipe_names

    methods = text.partition("METHODS:-")[2].partition("}")[0].split()
    assert methods
    assert {f"bcss-wsss/{method}" for method in methods} <= set(recipe_names())
