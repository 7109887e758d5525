"""Keep decoded arrays in memory: one file without a name, filled on first use, that the processes of a machine share.

The system's page cache holds the file, so that it needs no shared memory (Docker has 64 MB of it), is swapped out where
other programs need the memory, and vanishes with the last process that has it open, even a killed one. It is read and
written by position, not mapped: a write to a mapped file ends the process when the disk is full.
"""

import math
import os
import shutil
import struct
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows, where nothing is kept
    fcntl = None  # type: ignore[assignment]

POSSIBLE = fcntl is not None
U8 = NDArray[np.uint8]
SHARE = 0.5  # of the available memory, and of the free disk, that is used at most
AXES = 3  # most axes of an array
WORD = struct.Struct("<q")


class Kept:
    """Lists of byte arrays by number.

    Open it before processes are forked, and call `hide` when every process that shares it has.

    Args:
        path: Where the file is until `hide`.
        count: How many lists there may be.
        limit: Largest size of the file in bytes; what does not fit is not kept.
    """

    def __init__(self, path: Path, count: int, limit: int) -> None:
        self.path, self.count, self.limit = path, count, limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)
        self._start = WORD.size * (count + 1)  # the end of the file, then the offset of every list

    def hide(self) -> None:
        """Remove the file's name; the file lives until no process has it open."""
        self.path.unlink(missing_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the file out of a copy for another process, which keeps nothing; forked processes share the file."""
        return {**self.__dict__, "_file": None}

    def get(self, number: int) -> list[U8] | None:
        """Return a list, or None if it is not kept."""
        if self._file is None or not (offset := _word(self._file, number + 1)):
            return None
        size = int(WORD.unpack(os.pread(self._file, WORD.size, offset))[0])
        return _unpacked(np.frombuffer(os.pread(self._file, size, offset + WORD.size), np.uint8))

    def put(self, number: int, arrays: Sequence[U8]) -> None:
        """Keep a list, unless it does not fit, or the disk is full."""
        if self._file is None:
            return
        packed = b"".join(_packed(array) for array in arrays)
        content = WORD.pack(len(packed)) + packed
        try:
            offset = self._reserve(self._file, len(content))
            if offset and os.pwrite(self._file, content, offset) == len(content):
                os.pwrite(self._file, WORD.pack(offset), WORD.size * (number + 1))
        except OSError:  # a full disk
            self.limit = 0

    def _reserve(self, file: int, size: int) -> int:
        """Move the end of the file, and return where it was; 0 if there is no room."""
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            offset = _word(file, 0) or self._start
            if offset + size > self.limit:
                return 0
            os.pwrite(file, WORD.pack(offset + size), 0)
            return offset
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


def room(folder: Path) -> int:
    """Return how many bytes may be kept: half of the available memory or of the free disk, whichever is less."""
    while not folder.exists():
        folder = folder.parent
    return int(SHARE * min(available_memory(), shutil.disk_usage(folder).free))


def available_memory() -> int:
    """Return the bytes of memory that programs can still have, within the limits of a container; 0 if unknown."""
    available = 0
    with suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # `max` is no number
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        available = min(available, max(limit - used, 0))
    return available


def _word(file: int, number: int) -> int:
    """Read one of the numbers at the beginning of the file; 0 where nothing was written."""
    found = os.pread(file, WORD.size, WORD.size * number)
    return int(WORD.unpack(found)[0]) if len(found) == WORD.size else 0


def _unpacked(content: U8) -> list[U8]:
    arrays = []
    while len(content):
        axes, *shape = struct.unpack(f"<{AXES + 1}q", content[: WORD.size * (AXES + 1)].tobytes())
        content = content[WORD.size * (AXES + 1) :]
        length = math.prod(shape[:axes])
        arrays.append(content[:length].reshape(shape[:axes]))
        content = content[length:]
    return arrays


def _packed(array: U8) -> bytes:
    shape = (*array.shape, *(0,) * (AXES - array.ndim))
    return struct.pack(f"<{AXES + 1}q", array.ndim, *shape) + array.tobytes()
