"""The pretended GPU, and what its tests share."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    """Load a module beside this file."""
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread: None) -> None:
    """Use one thread in every test."""


@pytest.fixture(scope="session")
def pretend() -> ModuleType:
    """The module `pretend.py` beside this file."""
    return load("pretend")


@pytest.fixture
def gpu(pretend: ModuleType) -> Iterator[Any]:
    """Notes of a pretended GPU, which is there during the test."""
    with pretend.pretended_gpu() as notes:
        yield notes
