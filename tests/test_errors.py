"""Helpers for the sentences of errors."""

import pytest

from qaclims_path.errors import first_of


@pytest.mark.parametrize(
    ("names", "sentence"), [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_a_list_of_names_ends_with_the_number_of_the_others(names: list[str], sentence: str) -> None:
    assert first_of(names, 2) == sentence
