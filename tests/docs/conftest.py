"""Fixtures of documentation tests: `qaclims` on the path, a finished demo, and a tile."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which `qaclims` is found, and `pip install` writes to a new folder without a network."""
    plugins = str(tmp_path_factory.mktemp("plugins"))
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), plugins])),
        "PIP_TARGET": plugins,
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as: isolation is off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The folder of `qaclims demo --quick`: that of QACLIMS_DEMO, or a new one."""
    if made := os.environ.get("QACLIMS_DEMO"):
        return Path(made).absolute()
    folder = tmp_path_factory.mktemp("made") / "demo"
    subprocess.run(["qaclims", "demo", "--quick", "--out", str(folder)], env=environment, check=True)
    return folder


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Variables under which `qaclims` and `python` are those of `warm.py`, whose imports are paid for once."""
    folder = tmp_path_factory.mktemp("warm")
    command = [sys.executable, str(Path(__file__).with_name("warm.py")), str(folder / "socket"), str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}
        server.kill()
