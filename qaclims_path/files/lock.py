"""One process at a time: a lock file that names its holder and is free again when the holder dies.

Why not `filelock`: its version 4.3.1 was tried behind `locked` with tests/files/test_lock.py.
- `SoftReadWriteLock` frees the lock of a dead process only when its lease ends, by default after 90 s: 4 of 7 tests
  fail, and a killed command could not be run again at once. With a lease of 2 s, 2 tests fail, a refusal has to wait
  3 s, and a process that is suspended for 2 s loses its lock while it lives.
- `ReadWriteLock` (SQLite) needs locks of the file system: the 2 tests of file systems without them fail.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from qaclims_path.errors import QaclimsError

try:
    import fcntl
except ImportError:  # Windows: a holder is recognised by its process number only
    fcntl = None  # type: ignore[assignment]


_OPEN: set[IO[str]] = set()  # lock files that this process has open


class Locked(QaclimsError):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock during a block.

    The system releases the lock of a process that died. On a file system without locks, a holder counts as alive when a
    process with its number runs on this host, or when it is on another host; of several that share, only the last one
    is known there.

    Args:
        path: The lock file; it stays behind, empty.
        shared: Share the lock with other processes that do so.

    Raises:
        Locked: Another process holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    own = {"pid": os.getpid(), "host": socket.gethostname(), "shared": shared}
    _OPEN.add(file)
    with _closing(file):
        if not _acquired(file, shared=shared):
            raise Locked(
                f"{path.parent.parent if path.parent.name == 'state' else path.parent} is being written by "
                f"{_holder(file)}. Wait until it is done, or choose another --out; if that process is certainly gone, "
                f"remove {path}."
            )
        try:
            _sign(file, own)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            yield
        finally:
            if _signature(file) == own:
                _sign(file, None)


@contextmanager
def _closing(file: IO[str]) -> Iterator[None]:
    try:
        yield
    finally:
        _OPEN.discard(file)
        with suppress(OSError):  # a full disk; writing has reported it
            file.close()


def _unwritable(path: Path, error: OSError) -> QaclimsError:
    return QaclimsError(f"{path} cannot be written: {error.strerror or error}. Choose another folder.")


def _close_after_fork() -> None:
    """In a forked process: close the parent's lock files, which would stay locked after the parent's death."""
    for file in _OPEN:
        file.close()
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_after_fork)


def _acquired(file: IO[str], *, shared: bool) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return _is_free(_signature(file), shared=shared)
        return True
    return _is_free(_signature(file), shared=shared)


def _is_free(holder: dict[str, Any], *, shared: bool) -> bool:
    return (shared and holder.get("shared") is True) or not _is_alive(holder)


def _is_alive(holder: dict[str, Any]) -> bool:
    """Return whether the holder may still be at work."""
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():  # process numbers repeat across containers
        return True
    if holder.get("pid") == os.getpid():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _signature(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    with suppress(ValueError):
        found = json.loads(file.read())
        if isinstance(found, dict):
            return found
    return {}


def _sign(file: IO[str], holder: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(holder) if holder else "")
    file.flush()


def _holder(file: IO[str]) -> str:
    found = _signature(file)
    return f"process {found['pid']} on {found['host']}" if {"pid", "host"} <= found.keys() else "another process"
