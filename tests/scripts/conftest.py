"""Fixtures for tests of scripts."""

import csv

import pytest


@pytest.fixture
def scripts(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout / "scripts")
    return checkout / "scripts"


@pytest.fixture
def runs_in():
    """The lines of the table of runs in a folder."""

    def read(folder):
        with (folder / "runs.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return read
