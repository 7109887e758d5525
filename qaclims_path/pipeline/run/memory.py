"""Peak memory of this process and of its children."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar


class PeakMemory:
    """Peak memory from here on, of this process and of its children.

    Linux can reset the peak of a process, but not that of its children, which counts only if a child has ended since.

    Attributes:
        former: Largest peak of this process before a reset, in bytes.
    """

    former: ClassVar[int] = 0

    def __init__(self) -> None:
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        PeakMemory.former = max(PeakMemory.former, _own_peak())
        with suppress(OSError):  # not Linux, or not allowed: only the peak of the whole process is known
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def mib(self) -> float:
        """Return the peak in MiB."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN) != self._children  # a child that has ended used time
        return max(_own_peak(), _peak_of(resource.RUSAGE_CHILDREN) if ended else 0) / 2**20


def peak_mib() -> float:
    """Return the peak memory of this process and of any child that has ended, in MiB."""
    return max(PeakMemory.former, _own_peak(), _peak_of(resource.RUSAGE_CHILDREN)) / 2**20


def _own_peak() -> int:
    """Return the peak of this process in bytes; `ru_maxrss` may contain the peak of the parent, `VmHWM` does not."""
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return _peak_of(resource.RUSAGE_SELF)


def _peak_of(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(who).ru_maxrss * unit
