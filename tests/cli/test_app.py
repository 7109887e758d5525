"""The command as a user meets it: help, versions, one-line errors, exit codes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def qaclims(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "qaclims_path", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_help_names_every_command() -> None:
    shown = qaclims("--help").stdout
    assert all(command.split()[0] in shown for command in COMMANDS)


COMMANDS = (
    *("doctor", "demo", "cams", "masks", "predict", "segment", "evaluate", "run", "report", "export", "push"),
    *(f"datasets {name}" for name in ("list", "show", "check", "stats", "fake", "init")),
    *(f"slides {name}" for name in ("info", "tile")),
    *(f"corpus {name}" for name in ("build", "import", "show", "stats", "diff")),
    *(f"judge {name}" for name in ("show", "probe", "train")),
    *(f"train {name}" for name in ("cam", "boundary", "seg")),
    "answerer probe",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    result = qaclims(*command.split(), "--help")
    assert result.returncode == 0
    assert "Example:" in result.stdout
    assert f"qaclims {command}" in " ".join(result.stdout.split())


def test_version() -> None:
    assert qaclims("--version").stdout.startswith("qaclims_path 0.")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["datasets", "show", "bcsss-wsss"], 2, "Did you mean 'bcss-wsss'?"),
        (["datasets", "check", "phantom", "--root", "nowhere"], 1, "nowhere"),
        (["datasets", "chekc"], 2, "No such command"),
        (["evaluate", "p", "--dataset", "phantom", "--root", "nowhere", "--split", "vall"], 2, "val"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    result = qaclims(*words, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert said in " ".join((result.stderr + result.stdout).replace("│", " ").split())
    assert "Traceback" not in result.stderr + result.stdout


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in qaclims("--debug", "datasets", "show", "bcsss-wsss", cwd=tmp_path).stderr


def test_a_reader_that_stops_early_is_not_an_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -P -m qaclims_path datasets list --json | head -c 10"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Traceback" not in result.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "qaclims_path", "datasets", "fake", "phantom", "--out", "out"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background inherits deafness
    try:
        process = subprocess.Popen([*command, "--images", "2000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    while not list(tmp_path.rglob("*.png")) and process.poll() is None:  # it has begun to write
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "go on" in said
    assert "Traceback" not in said


def test_warnings_of_ours_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text('{"image": "a", "label": "tumor"}\n{"image": "b", "la')
    said = qaclims("corpus", "stats", "cut.jsonl", cwd=tmp_path).stderr
    assert "Warning: The last line of cut.jsonl is truncated and was skipped." in said
    assert "corpus.py" not in said
