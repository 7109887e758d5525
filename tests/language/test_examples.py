"""The examples in the docstrings of this room."""

import doctest
from importlib import import_module

import pytest

MODULES = ("terms", "words", "questions", "lexicon", "cleaning", "captions")


@pytest.mark.parametrize("name", [*(f"language.{name}" for name in MODULES), "compute.texts"])
def test_examples_in_docstrings_are_right(name: str) -> None:
    module = import_module(f"qaclims_path.{name}")
    failed, tried = doctest.testmod(module, extraglobs={"torch": import_module("torch")})
    assert tried
    assert not failed
