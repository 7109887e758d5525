"""The command as a user meets it: help, versions, one-line errors, exit codes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from qaclims_path.cli.app import COMMANDS, app, main


def qaclims(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "qaclims_path", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


GROUPS = {
    "datasets": ("list", "show", "check", "stats", "fake", "tile", "init"),
    "slides": ("info", "tile"),
    "corpus": ("build", "import", "show", "stats", "diff"),
    "judge": ("show", "probe", "train"),
    "answerer": ("probe",),
    "train": ("cam", "boundary", "seg"),
    "recipes": ("list", "show", "keys"),
}
PLAIN = (
    "doctor",
    "demo",
    "cams",
    "masks",
    "predict",
    "segment",
    "evaluate",
    "run",
    "report",
    "compare",
    "export",
    "push",
)
ALL = (*PLAIN, *(f"{group} {name}" for group, names in GROUPS.items() for name in names))


def found(command: str) -> Any:
    """A command as it is called, from the name of it and of its group."""
    reached = get_command(app)
    for word in command.split():
        _, reached, _ = reached.resolve_command(typer.Context(reached), [word])
    return reached


def test_help_names_every_command() -> None:
    shown = qaclims("--help").stdout
    assert {*GROUPS, *PLAIN} == set(COMMANDS)
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_quotes_their_help(name: str) -> None:
    assert found(name).help.partition("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("group", GROUPS)
def test_the_line_of_a_group_names_its_commands(group: str) -> None:
    assert COMMANDS[group].partition(": ")[2] == f"{', '.join(GROUPS[group])}."
    assert tuple(found(group).commands) == GROUPS[group]


@pytest.mark.parametrize("command", ALL)
def test_every_command_shows_an_example(command: str) -> None:
    assert f"Example: `qaclims {command}" in found(command).help


@pytest.mark.parametrize("command", ALL)
def test_every_option_has_a_help_text(command: str) -> None:
    texts = {each.name: each.help or "" for each in found(command).params}
    assert [name for name, text in texts.items() if not text or "None" in text] == []


@pytest.mark.parametrize("command", ["slides tile", "segment", "masks", "train cam", "run"])
def test_help_loads_no_torch(command: str) -> None:
    code = "import sys\nfrom qaclims_path.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules, 'monai' in sys.modules)"
    words = [sys.executable, "-P", "-c", code, *command.split(), "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Example:" in shown
    assert shown.endswith("False False\n")


def completed(*words: str) -> list[str]:
    """Return the completions that the shell offers for a command line; its last word is unfinished."""
    environment = {**os.environ, "_QACLIMS_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("qaclims", *words))}
    result = subprocess.run(
        [str(Path(sys.executable).parent / "qaclims")],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "COMP_CWORD": str(len(words))},
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["eval"], ["evaluate"]),
        (["datasets", "sh"], ["show"]),
        (["datasets", "show", "bcss"], ["bcss", "bcss-wsss"]),
        (["run", "phantom/qa"], ["phantom/qa-clims", "phantom/qa-clims-path"]),
        (["evaluate", "--dataset", "voc"], ["voc2012"]),
        (["evaluate", "--protocol", "ml"], ["mlps"]),
        (["segment", "--precision", "fp"], ["fp32", "fp16"]),
        (["slides", "tile", "--drop"], ["--drop-pens", "--drop-blur"]),
    ],
)
def test_the_shell_completes_commands_names_and_choices(words: list[str], offered: list[str]) -> None:
    assert set(offered) <= set(completed(*words))


def test_completion_is_installed_for_the_shell(tmp_path: Path) -> None:
    command = f"{Path(sys.executable).parent / 'qaclims'} --install-completion; exit $?"
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", command], capture_output=True, check=True, env=home)
    assert "_QACLIMS_COMPLETE" in (tmp_path / ".bash_completions" / "qaclims.sh").read_text()
    assert "qaclims.sh" in (tmp_path / ".bashrc").read_text()


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


def test_ctrl_c_says_how_to_continue(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "qaclims_path", "datasets", "fake", "phantom", "--out", "out"]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background process ignores it, and so would its child
    try:
        process = subprocess.Popen([*command, "--images", "2000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    while not list(tmp_path.rglob("*.png")) and process.poll() is None:  # until it has begun to write
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "to continue" in said
    assert "Traceback" not in said


def test_warnings_of_the_package_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text('{"image": "a", "label": "tumor"}\n{"image": "b", "la')
    said = qaclims("corpus", "stats", "cut.jsonl", cwd=tmp_path).stderr
    assert "Warning: The last line of cut.jsonl is truncated and was skipped." in said
    assert "corpus.py" not in said


@pytest.mark.parametrize(("given", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_decided(monkeypatch, given, wanted):
    monkeypatch.setattr(sys, "argv", ["qaclims", "--version"])
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_WAIT_POLICY"] == wanted
