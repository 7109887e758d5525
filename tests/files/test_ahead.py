"""Working ahead: in order, bounded, with errors in the order of the items."""

import threading
import time

import pytest

from qaclims_path.files.ahead import ahead


def test_results_keep_the_order_of_the_items():
    def slow_first(i):
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(ahead(slow_first, range(30), threads=4)) == [i * i for i in range(30)]


def test_only_a_few_are_read_ahead():
    started, before = [], threading.active_count()
    results = ahead(started.append, range(1000), threads=2)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 6
    results.close()
    assert threading.active_count() <= before


def test_an_error_is_raised_in_the_order_of_the_items():
    def work(i):
        if i == 3:
            raise KeyError(i)
        return i

    results = ahead(work, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)


def test_a_finished_folder_needs_no_work():
    assert list(ahead(str, [])) == []
