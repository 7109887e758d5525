"""Peak memory of this process and of its children."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar


class PeakMemory:
    """Largest memory from here on, of this process and of its children.

    Linux can forget the peak of a process so far, which else never falls; that of children it cannot forget, so it only
    counts when a child has ended since.

    Attributes:
        forgotten: The largest peak of this process that was forgotten, in bytes.
    """

    forgotten: ClassVar[int] = 0

    def __init__(self) -> None:
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        PeakMemory.forgotten = max(PeakMemory.forgotten, _own_peak())
        with suppress(OSError):  # no Linux, or not allowed: the peak of the whole process is all there is
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def mib(self) -> float:
        """In MiB."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN) != self._children  # each takes time, at least
        return max(_own_peak(), _peak_of(resource.RUSAGE_CHILDREN) if ended else 0) / 2**20


def peak_mib() -> float:
    """Largest memory that this process and any child that has ended ever had, in MiB."""
    return max(PeakMemory.forgotten, _own_peak(), _peak_of(resource.RUSAGE_CHILDREN)) / 2**20


def _own_peak() -> int:
    """In bytes. `ru_maxrss` may have that of the process in it that started this one; `VmHWM` has not."""
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return _peak_of(resource.RUSAGE_SELF)


def _peak_of(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(who).ru_maxrss * unit
