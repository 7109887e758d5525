"""Shards: the items of each, and their locks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import UsageError
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.shards import ALL, Shard


def test_a_part_is_read_from_the_command_line() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)
    for text in ("2", "2/", "/8", "a/8", "2/8/1", "-1/8", ""):
        with pytest.raises(UsageError, match=r"should look like 2/8"):
            Shard.parse(text)


def test_an_impossible_part_is_refused() -> None:
    for number, of in ((3, 2), (0, 2), (0, 0)):
        with pytest.raises(UsageError, match=f"no part {number} of {of}; write --shard 1/4 to"):
            Shard(number, of)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_parts_that_are_divided_differently_share_all_and_nothing_twice(pieces: list[int]) -> None:
    shards = [part for number, many in enumerate(pieces, 1) for part in Shard(number, len(pieces)).split(many)]
    assert sorted(item for shard in shards for item in shard.take(range(100))) == list(range(100))
    assert ALL.take(range(5)) == range(5)


def test_a_single_part_keeps_all_others_out(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "run.lock"
    with ALL.hold(lock):
        for other in (ALL, Shard(1, 2)):
            with pytest.raises(Locked, match=rf"{tmp_path} is being written by process"), other.hold(lock):
                pass


def test_parts_keep_out_the_same_part_and_a_single_one(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "run.lock"
    with Shard(1, 2).hold(lock), Shard(2, 2).hold(lock), locked(lock, shared=True):
        for other in (ALL, Shard(1, 2), Shard(2, 2)):
            with pytest.raises(Locked), other.hold(lock):
                pass
    with Shard(1, 2).hold(lock):
        assert (tmp_path / "state" / "run-1-of-2.lock").exists()
