import math

import numpy as np

from qaclims_path.files.numbers import finite, parse_number


def test_a_text_that_is_no_finite_number_is_none() -> None:
    assert [parse_number(text) for text in ("0.25", " 1e3 ", 2, "-3")] == [0.25, 1000, 2, -3]
    assert [parse_number(text) for text in ("", "0,25", "nan", "inf", "20x", None)] == [None] * 6


def test_json_gets_numbers_or_none() -> None:
    assert finite(0.5) == 0.5
    assert finite(np.float32(0.5)) == 0.5
    assert [finite(value) for value in (math.nan, math.inf, -math.inf, np.float64("nan"))] == [None] * 4
