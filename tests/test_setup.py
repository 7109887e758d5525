"""Which Python `scripts/setup` takes, with stand-ins for every interpreter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Answers with a version, makes an environment whose Python is itself, and notes down what pip is asked for.
PYTHON = """#!/usr/bin/env bash
case "$1" in
  -c) echo "{version}" ;;
  --version) echo "Python {version}.0" ;;
  -m) [ "$2" = pip ] && echo "$@" >>pip.log || {{ mkdir -p .venv/bin && cp "$0" .venv/bin/python; }} ;;
esac
"""
MISSING = "#!/usr/bin/env bash\nexit 127\n"
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3")


@pytest.fixture
def setup(tmp_path, checkout):
    """Run a copy of the script where only the named interpreters exist; gives the process."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(checkout / "scripts" / "setup", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(path: Path, version: str | None) -> Path:
        path.write_text(PYTHON.format(version=version) if version else MISSING)
        path.chmod(0o755)
        return path

    def run(versions: dict[str, str], *extras: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for name in NAMES:
            write(folder / name, versions.get(name))
        settings = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **environment}
        command = [str(tmp_path / "scripts" / "setup"), *extras]
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    run.write = lambda version: write(tmp_path / "own python", version)
    run.root = tmp_path
    return run


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_every_supported_python_is_found_under_either_name(setup, version):
    for name in (f"python{version}", "python3"):
        done = setup({name: version})
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Creating .venv with Python {version}.0" in done.stdout
        shutil.rmtree(setup.root / ".venv")


def test_a_python_that_was_tried_is_preferred(setup):
    done = setup({name: name.removeprefix("python") for name in NAMES if name != "python3"} | {"python3": "3.14"})
    assert "Creating .venv with Python 3.13.0" in done.stdout


@pytest.mark.parametrize("version", ["3.10", "3.15", "2.7"])
def test_another_python_is_refused_in_a_sentence(setup, version):
    done = setup({"python3": version})
    assert done.returncode == 1
    assert done.stderr == (
        f"python3 is Python {version}. Python 3.11 to 3.14 is needed: apt-get install python3.11 python3.11-venv "
        "(or set PYTHON).\n"
    )
    assert not (setup.root / ".venv").exists()


def test_without_any_python_the_sentence_names_what_is_needed(setup):
    done = setup({})
    assert (done.returncode, done.stderr.startswith("Python 3.11 to 3.14 is needed")) == (1, True)


def test_the_named_python_is_taken_and_no_other(setup):
    done = setup({"python3.13": "3.13"}, PYTHON=str(setup.write("3.12")))
    assert "Creating .venv with Python 3.12.0" in done.stdout
    shutil.rmtree(setup.root / ".venv")
    done = setup({"python3.13": "3.13"}, PYTHON=str(setup.write("3.9")))
    assert done.returncode == 1
    assert "own python is Python 3.9. Python 3.11 to 3.14 is needed" in done.stderr


def test_a_second_call_installs_nothing_unless_extras_are_new(setup):
    for extras, calls in (((), 1), ((), 1), (("test",), 2), ((), 2), (("test",), 2), (("docs",), 3)):
        assert setup({"python3.11": "3.11"}, *extras).returncode == 0
        assert len((setup.root / "pip.log").read_text().splitlines()) == calls
