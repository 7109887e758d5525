"""Slides or patients dealt to splits."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import BadFile
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.slides.cohort.splits import assign, with_splits

SHARES = (0.7, 0.15, 0.15)


@given(st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=60), st.integers(0, 9))
def test_shares_are_kept_and_no_split_is_empty(owners, seed):
    counts = Counter(assign(owners, SHARES, seed, {}).values())
    assert set(counts) == {"train", "val", "test"}
    assert counts["train"] >= 0.7 * len(owners) - 2
    assert assign(owners, SHARES, seed, {}) == assign(sorted(owners), SHARES, seed, {})


def test_seeds_differ_and_known_splits_stay():
    owners = [f"p{i}" for i in range(40)]
    first, second = (assign(owners, SHARES, seed, {}) for seed in (0, 1))
    assert first != second
    later = assign([*owners, "new"], SHARES, 0, first)
    assert {owner: later[owner] for owner in owners} == first


def test_a_split_without_a_share_stays_empty():
    assert set(assign(["a", "b", "c", "d"], (0.5, 0.5, 0), 0, {}).values()) == {"train", "val"}


def entries(*rows):
    return [SlideEntry(name, f"{name}.svs", patient, split=split) for name, patient, split in rows]


def dealt(rows, by="patient", earlier=None):
    found = with_splits(entries(*rows), by=by, shares=SHARES, seed=0, earlier=earlier or {})
    return {entry.name: entry.split for entry in found}


def test_slides_of_a_patient_stay_together():
    splits = dealt([(f"s{i}", f"p{i % 4}", "") for i in range(16)])
    assert all(splits[f"s{i}"] == splits[f"s{i % 4}"] for i in range(16))
    assert len(set(dealt([(f"s{i}", "p", "") for i in range(9)], by="slide").values())) == 3


def test_the_list_wins_over_an_earlier_run():
    splits = dealt([("a", "p", ""), ("b", "p", "test"), ("c", "q", "")], earlier={"a": "val", "c": "val"})
    assert splits == {"a": "test", "b": "test", "c": "val"}


def test_a_patient_in_two_splits_is_refused():
    with pytest.raises(BadFile, match="patient 'p' is listed in 'train' and in 'val'"):
        dealt([("a", "p", "train"), ("b", "p", "val")])
    assert dealt([("a", "p", "train"), ("b", "p", "val")], by="slide") == {"a": "train", "b": "val"}
