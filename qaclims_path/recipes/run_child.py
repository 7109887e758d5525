"""Processes that a command starts: what is stopped may save first, and nothing outlives its parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


def wait_for(command: Sequence[str]) -> tuple[int, bool]:
    """Do a command, and let it save when it is stopped; returns its exit code, and whether somebody asked to stop.

    A terminal sends Ctrl-C to both processes, so that is only waited for; SIGTERM may have come to this one alone.
    """
    stopped = False
    with subprocess.Popen(command, stdout=sys.stderr) as child:  # noqa: S603 - our own command

        def forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal wants it
            nonlocal stopped
            stopped = True
            child.send_signal(number)

        with _hearing(signal.SIGTERM, forward):
            try:
                return child.wait(), stopped
            except KeyboardInterrupt:
                return _wait_again(child), True


def end_with_parent() -> None:
    """In a process of `multiprocessing`: end when the parent does, even if that is killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _wait_again(child: "subprocess.Popen[bytes]") -> int:
    """Wait until a stopped command has saved; who presses Ctrl-C once more does not want to."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.kill()
        raise


@contextmanager
def _hearing(number: int, hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal for a while; only the main thread gets any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, hear)
    try:
        yield
    finally:
        signal.signal(number, before)
