"""Every command in the README works: blocks fenced `sh` are run, blocks fenced `sh no-run` are parsed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from qaclims_path.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```sh( no-run)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*, run: bool) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [body for no_run, body in BLOCK.findall(text) if bool(no_run) is not run]


def commands(block: str) -> list[list[str]]:
    """The commands of a block: continued lines joined, comments and blank lines dropped."""
    joined = block.replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [line for line in words if line]


def test_the_readme_has_both_kinds_of_block() -> None:
    assert blocks(run=True)
    assert blocks(run=False)


def test_blocks_run(tmp_path: Path) -> None:
    """All blocks in one folder and in order, as a reader would type them after the demo, which may be made already."""
    if made := os.environ.get("QACLIMS_DEMO"):
        shutil.copytree(made, tmp_path / "demo")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in (*([] if made else ["qaclims demo --quick"]), *blocks(run=True)):
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"


def parse(words: list[str]) -> None:
    """Parse as the command line would, down to the last subcommand, without running anything."""
    command, context, rest = get_command(app), None, words
    while True:
        context = command.make_context(command.name, list(rest), parent=context)
        if not hasattr(command, "resolve_command"):  # a command, not a group of commands
            return
        _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize("block", blocks(run=False))
def test_commands_that_are_not_run_parse(block: str) -> None:
    for words in commands(block):
        if words[0] == "qaclims":
            parse(words[1:])
        elif words[0].startswith("scripts/"):
            assert os.access(ROOT / words[0], os.X_OK), f"{words[0]} cannot be started"
        else:
            assert words[0] in {"git", "cd", "source", "pip", "export"}, f"the README uses {words[0]}"


@pytest.mark.parametrize("typo", ["datasets check phantom --rooot x", "datasets chekc phantom", "evaluat x"])
def test_a_typo_in_the_readme_would_be_found(typo: str) -> None:
    with pytest.raises(Exception, match=r"No such (option|command)"):
        parse(shlex.split(typo))
