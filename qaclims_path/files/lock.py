"""One process at a time: a lock file that names its holder and falls open when the holder dies."""

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
except ImportError:  # Windows: holders are told apart by their numbers only
    fcntl = None  # type: ignore[assignment]


_OPEN: set[IO[str]] = set()  # lock files that this process has open


class Locked(QaclimsError):
    """Another process is at work on the same folder."""


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file for the length of a block.

    The system releases the lock of a process that died, so what it left behind is taken over. Where the file system
    knows no locks, a holder counts as alive when a process of its number runs on this host, or when it is another
    host's; of several that share, only the last one is known there.

    Args:
        path: Of the lock file, which stays (empty) behind.
        shared: Whether others that share may hold it at the same time.

    Raises:
        Locked: Somebody else holds it.
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
        with suppress(OSError):  # a full disk, of which the writing has told
            file.close()


def _unwritable(path: Path, error: OSError) -> QaclimsError:
    return QaclimsError(f"{path} cannot be written: {error.strerror or error}. Choose another place.")


def _let_go() -> None:
    """In a forked process: close what the parent holds, which would stay locked after the parent's death."""
    for file in _OPEN:
        file.close()
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


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
    return (shared and holder.get("shared") is True) or not _lives(holder)


def _lives(holder: dict[str, Any]) -> bool:
    """Whether the holder that signed may still be at work."""
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():  # in its container it may have our number
        return True
    if holder.get("pid") == os.getpid():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
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
