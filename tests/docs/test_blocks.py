"""Every block of README and docs works: `sh` and `python` are run, `{.no-run}` is parsed, `title="file"` is a file."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from qaclims_path.cli.app import app
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.pipeline.run.options import load_run

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^[ ]*```(?P<info>[^\n`]*)\n(?P<body>.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
INFO = re.compile(r'(?P<language>\w*)(?P<no_run> \{\.no-run\})?(?: title="(?P<title>[^"]+)")?')
LANGUAGES = {"sh", "python", "toml", "yaml", "text"}
ELSEWHERE = {"docs/benchmarks.md"}  # run by tests/pipeline/run/test_benchmarks.py on data of their layout
SHELL = {"git", "cd", "source", "pip", "python3", "export", "find", "head", "ls", "mv", "echo", "exit"}  # of readers
KEYWORDS = {"for", "do", "done", "if", "then", "else", "fi"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, whether it is run, the file it is the content of, and its text."""

    language: str
    run: bool
    title: str | None
    body: str


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer((ROOT / page).read_text(encoding="utf-8")):
        info = INFO.fullmatch(match["info"])
        assert info, f"{page}: a fence cannot be '{match['info']}'"
        found.append(Block(info["language"], not info["no_run"], info["title"], match["body"]))
    return found


FOLDERS = ("docs", "scripts", "datasets")
FOUND = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))
PAGES = ["README.md", *FOUND]
CODE = {page: [each for each in blocks(page) if each.language in ("sh", "python")] for page in PAGES}
RUN = [page for page, found in CODE.items() if page not in ELSEWHERE and any(each.run for each in found)]
NOT_RUN = [(page, each) for page, found in CODE.items() for each in found if page not in RUN or not each.run]
SHELL_NOT_RUN = [(page, each.body) for page, each in NOT_RUN if each.language == "sh"]
PYTHON_NOT_RUN = [each.body for _, each in NOT_RUN if each.language == "python"]


@pytest.mark.parametrize("page", PAGES)
def test_fences_say_what_is_done_with_them(page: str) -> None:
    assert {each.language for each in blocks(page)} <= LANGUAGES


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_blocks_run_in_order(page: str, demo: Path, warm: dict[str, str], tmp_path: Path) -> None:
    """In one folder, as a reader would type them after the demo."""
    (tmp_path / "demo").symlink_to(demo)
    Image.fromarray(paint_slide(0, (224, 224))[0]).save(tmp_path / "tile.png")
    for block in blocks(page):
        if block.title:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.run and block.language in ("sh", "python"):
            shell = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else ["python", "-c"]
            done = subprocess.run(
                [*shell, block.body], cwd=tmp_path, env=warm, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"


def commands(block: str) -> list[list[str]]:
    """The commands of a block: continued lines joined, loops once with their first value, no comments."""
    found, values = [], {}
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word != ";":
                words.append(word)
                continue
            while words and words[0] in KEYWORDS - {"for"}:
                words.pop(0)
            if words[:1] == ["for"]:
                values[words[1]] = words[3]
            elif words:
                found.append([re.sub(r"\$(\w+)", lambda match: values.get(match[1], match[0]), word) for word in words])
            words = []
    return found


@pytest.mark.parametrize(("page", "block"), SHELL_NOT_RUN)
def test_commands_that_are_not_run_parse(page: str, block: str) -> None:
    for words in commands(block):
        program, *rest = words
        if program == "qaclims":
            parse(rest)
            check_recipe(rest)
        elif program == "python":
            check_script(rest)
        elif program.startswith("scripts/"):
            assert os.access(ROOT / program, os.X_OK), f"{page}: {program} cannot be started"
        else:
            assert program in SHELL or "=" in program, f"{page} uses {program}"


def parse(words: list[str]) -> None:
    """Parse as the command line would, down to the last subcommand, without running anything."""
    command, context, rest = get_command(app), None, words
    while True:
        context = command.make_context(command.name, list(rest), parent=context)
        if not hasattr(command, "resolve_command"):  # a command, not a group of commands
            return
        _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


def check_recipe(words: list[str]) -> None:
    """Resolve a recipe that ships with the package with the settings of the command, if the command has one."""
    recipe = {"run": words[1], "train": words[2]}.get(words[0], "") if len(words) > 2 else ""
    if re.fullmatch(r"[a-z0-9-]+/[a-z+-]+", recipe):
        settings = [value for option, value in pairwise(words) if option == "--set"]
        load_run(recipe, [each for each in settings if "$" not in each])


def check_script(words: list[str]) -> None:
    """The script exists, and its help names the options."""
    script, *rest = words
    for option in (word for word in rest if word.startswith("--")):
        assert option in help_of(script), f"{script} has no {option}"
    assert (ROOT / script).exists(), f"there is no {script}"


@cache
def help_of(script: str) -> str:
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("body", PYTHON_NOT_RUN)
def test_python_that_is_not_run_compiles_and_its_imports_exist(body: str) -> None:
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                assert hasattr(importlib.import_module(str(node.module)), name.name)


@pytest.mark.parametrize("typo", ["datasets check phantom --rooot x", "datasets chekc phantom", "evaluat x"])
def test_a_typo_in_a_command_would_be_found(typo: str) -> None:
    with pytest.raises(Exception, match=r"No such (option|command)"):
        parse(shlex.split(typo))


@pytest.mark.parametrize("typo", ["run phantom/qa-climz --root x", "run phantom/cam --root x --set sed=1"])
def test_a_typo_in_a_recipe_would_be_found(typo: str) -> None:
    with pytest.raises(Exception, match=r"Did you mean"):
        check_recipe(shlex.split(typo))


def test_loops_are_split_into_commands() -> None:
    block = "for i in 0 1; do\n  qaclims a \\\n    --b $i; qaclims c\ndone\nif qaclims d; then exit 1; fi\n"
    assert commands(block) == [["qaclims", "a", "--b", "0"], ["qaclims", "c"], ["qaclims", "d"], ["exit", "1"]]
