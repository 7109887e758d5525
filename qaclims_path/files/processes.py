"""Child processes: they can save their work when they are stopped, and end with their parent."""

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

SAME_SIGNAL = 1.0  # seconds in which a second signal is the first again: sent to a process, then to its group


def wait_for(command: Sequence[str]) -> tuple[int, bool]:
    """Run a command and pass signals on, so that it can save; returns its exit code and whether a stop was requested.

    A signal is passed on because this process alone may receive it. A terminal sends Ctrl-C to both processes: the
    child treats signals within `ECHO` seconds as one. A later Ctrl-C kills the child.
    """
    received: list[int] = []
    first = 0.0
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal wants it
        nonlocal first
        first = first or time.monotonic()
        received.append(number)
        if child is None:
            return
        if number == signal.SIGINT and time.monotonic() - first > SAME_SIGNAL:
            child.kill()
            raise KeyboardInterrupt
        child.send_signal(number)

    with _handling(signal.SIGINT, pass_on), _handling(signal.SIGTERM, pass_on):
        child = subprocess.Popen(command, stdout=sys.stderr)  # noqa: S603 - our own command
        with child:
            for number in tuple(received):  # before the child existed
                child.send_signal(number)
            return child.wait(), bool(received)


def end_with_parent() -> None:
    """End this process of `multiprocessing` when its parent ends, even if that is killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _handling(number: int, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal during a block, unless it is ignored (as in the background) or this is not the main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) == signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
