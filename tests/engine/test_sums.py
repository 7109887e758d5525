"""Sums kept on the device equal plain sums on the CPU, whichever numbers a step has."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.engine.sums import Sums, mean_numbers

CPU = torch.device("cpu")
VALUES = st.dictionaries(st.sampled_from("abc"), st.floats(-100, 100, width=32), min_size=1)
STEPS = st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=6)


def on_device(step: list[dict[str, float]]) -> list[dict[str, torch.Tensor]]:
    return [{name: torch.tensor(value) for name, value in each.items()} for each in step]


@given(STEPS)
def test_sums_are_those_of_the_means_of_each_step(steps: list[list[dict[str, float]]]) -> None:
    sums, expected = Sums(CPU), {}
    for step in steps:
        sums.add(on_device(step))
        means = mean_numbers(on_device(step), [value for each in step for value in each.values()])
        for name, value in means.items():
            total, count = expected.get(name, (0.0, 0))
            expected[name] = (total + value, count + 1)
    found = sums.read()
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(expected[name], abs=1e-9) for name in expected)


@given(STEPS, STEPS)
def test_sums_continue_from_json_exactly(before: list, after: list) -> None:
    whole, first, second = Sums(CPU), Sums(CPU), Sums(CPU)
    for step in before:
        whole.add(on_device(step))
        first.add(on_device(step))
    second.load(json.loads(json.dumps(first.read())))
    for step in after:
        whole.add(on_device(step))
        second.add(on_device(step))
    assert second.read() == whole.read()


def test_there_are_no_sums_without_a_step() -> None:
    assert Sums(CPU).read() == {}
