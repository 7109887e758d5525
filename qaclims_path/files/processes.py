"""Processes that a command starts: what is stopped may save first, and nothing outlives its parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ECHO = 1.0  # seconds, as in engine/guards.py, which would bring torch to processes that need none


def wait_for(command: Sequence[str]) -> tuple[int, bool]:
    """Do a command, and let it save when it is stopped; returns its exit code, and whether somebody asked to stop.

    A signal is passed on, as it may have come to this process alone. A terminal sends Ctrl-C to both: a training takes
    what comes twice within a moment as the same. Who presses Ctrl-C once more after that does not want to wait.
    """
    asked: list[int] = []
    first = 0.0
    child: subprocess.Popen[bytes] | None = None

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal wants it
        nonlocal first
        first = first or time.monotonic()
        asked.append(number)
        if child is None:
            return
        if number == signal.SIGINT and time.monotonic() - first > ECHO:
            child.kill()
            raise KeyboardInterrupt
        child.send_signal(number)

    with _hearing(signal.SIGINT, hear), _hearing(signal.SIGTERM, hear):
        child = subprocess.Popen(command, stdout=sys.stderr)  # noqa: S603 - our own command
        with child:
            for number in tuple(asked):  # came before there was anybody to tell
                child.send_signal(number)
            return child.wait(), bool(asked)


def end_with_parent() -> None:
    """In a process of `multiprocessing`: end when the parent does, even if that is killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _hearing(number: int, hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal for a while, unless it is ignored, as in the background; only the main thread gets any."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) == signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, hear)
    try:
        yield
    finally:
        signal.signal(number, before)
