"""Learning rates as published, and the shapes of the schedules."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.compute.schedules import cosine, poly, warmed

PARITY = Path(__file__).parents[1] / "parity" / "poly_schedule.npz"


def test_poly_is_the_published_one() -> None:
    published = np.load(PARITY, allow_pickle=False)
    steps, power = int(published["max_step"]), float(published["power"])
    ours = [float(published["base_lr"]) * poly(step, steps, power) for step in range(steps)]
    assert ours == pytest.approx(published["lr"], abs=1e-9)


@given(st.integers(1, 500), st.floats(0.1, 3))
def test_both_schedules_fall_from_one_to_zero(steps: int, power: float) -> None:
    for curve in ([poly(i, steps, power) for i in range(steps + 2)], [cosine(i, steps) for i in range(steps + 2)]):
        assert curve[0] == 1
        assert curve[-1] == pytest.approx(0, abs=1e-9)
        assert all(later <= earlier for earlier, later in pairwise(curve))


@given(st.integers(0, 50), st.integers(1, 500))
def test_the_warm_up_rises_to_one_before_the_schedule(warmup: int, steps: int) -> None:
    rises = [warmed(i, warmup, warmup + steps) for i in range(warmup + steps)]
    assert [rise for rise, _, _ in rises] == pytest.approx(
        [min(1, (i + 1) / max(warmup, 1)) for i in range(len(rises))]
    )
    assert [(step, of) for _, step, of in rises[warmup:]] == [(i, steps) for i in range(steps)]
