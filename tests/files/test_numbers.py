import math

import numpy as np
import pytest

from qaclims_path.files.numbers import ON_PAGES, area_text, finite, parse_number, significant


def test_a_text_that_is_no_finite_number_is_none() -> None:
    assert [parse_number(text) for text in ("0.25", " 1e3 ", 2, "-3")] == [0.25, 1000, 2, -3]
    assert [parse_number(text) for text in ("", "0,25", "nan", "inf", "20x", None)] == [None] * 6


def test_json_gets_numbers_or_none() -> None:
    assert finite(0.5) == 0.5
    assert finite(np.float32(0.5)) == 0.5
    assert [finite(value) for value in (math.nan, math.inf, -math.inf, np.float64("nan"))] == [None] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.4912, "2.49"),
        (99.96, "100"),
        (0.000123456, "0.000123"),
        (123456, "123000"),
        (0.0, "0"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    ("mm2", "text"),
    [
        (12.3456, "12.3 mm2"),
        (0.001, "0.00100 mm2"),
        (0.000999, "999 um2"),
        (0.00000325, "3.25 um2"),
        (2.5e-8, "0.0250 um2"),
        (0.0, "0 mm2"),
        (math.nan, "nan mm2"),
    ],
)
def test_small_areas_are_in_square_micrometres(mm2: float, text: str) -> None:
    assert area_text(mm2) == text
    assert area_text(mm2, ON_PAGES) == text.replace("mm2", "mm²").replace("um2", "µm²")
