"""Progress of long work on a terminal, in a log, and at its end."""

import pytest

from qaclims_path.files import progress
from qaclims_path.files.progress import Meter, track


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def worked(clock, capsys, *, items, seconds, **options):
    """The lines that a work of some items prints into a log, each item taking some seconds."""
    with Meter("maps", items, **options) as meter:
        for _ in range(items):
            clock[0] += seconds
            meter.advance()
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_every_half_minute_with_the_time_left_and_one_at_the_end(clock, capsys):
    assert worked(clock, capsys, items=8, seconds=10) == [
        "maps: 3 of 8, 30.0 s, about 50.0 s left",
        "maps: 6 of 8, 1 min 00 s, about 20.0 s left",
        "maps: 8 done in 1 min 20 s",
    ]


def test_short_work_says_nothing(clock, capsys):
    assert worked(clock, capsys, items=4, seconds=1) == []


def test_hidden_work_says_nothing(clock, capsys):
    assert worked(clock, capsys, items=4, seconds=40, shown=False) == []


def test_resumed_work_counts_the_time_left_from_where_it_resumed(clock, capsys):
    with Meter("training", 100) as meter:
        clock[0] += 10
        meter.resume(90)
        for _ in range(4):
            clock[0] += 5
            meter.advance("epoch 2/2", "loss 0.1")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 2/2: 94 of 100, loss 0.1, 30.0 s, about 30.0 s left",
        "epoch 2/2: 94 done in 30.0 s",
    ]


def test_work_of_parts_names_the_part_at_work(clock, capsys):
    with Meter("tiling slides", 2) as meter:
        clock[0] += 31
        meter.part("a", 50, 200)
        clock[0] += 1
        meter.end_part("a")
    assert capsys.readouterr().err.splitlines() == [
        "tiling slides: 0 of 2, a: 50 of 200, 31.0 s",
        "tiling slides: 1 done in 32.0 s",
    ]


def test_work_that_fails_does_not_say_that_it_is_done(clock, capsys):
    def fail():
        clock[0] += 10
        yield 1
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        list(track(fail(), "reading"))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_and_the_line_at_the_end(clock, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    said = "\n".join(worked(clock, capsys, items=8, seconds=10))
    assert "maps: 8 done in 1 min 20 s" in said
    assert "about" not in said
