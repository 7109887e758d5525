"""The toy task, which scripts of these tests import, too."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module `toy.py` beside this file."""
    spec = importlib.util.spec_from_file_location("engine_toy", HERE / "toy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
