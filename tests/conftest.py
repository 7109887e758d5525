"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data for measurements; tests that need it skip without it."""
    place = os.environ.get("QACLIMS_DATA")
    if not place:
        pytest.skip("set QACLIMS_DATA to the folder of real data sets to run this test")
    folder = Path(place)
    if not folder.is_dir():
        pytest.skip(f"QACLIMS_DATA={place} is not a folder")
    return folder


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]
