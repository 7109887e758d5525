"""Keep the decoded items of a training in memory, where they fit."""

import socket
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from qaclims_path.engine.distributed import Processes
from qaclims_path.files.kept import POSSIBLE, Kept, room

LEFT_OVER = "decoded-*"
GB = 10**9


def open_kept(folder: Path, count: int, size: Callable[[], int], processes: Processes) -> Kept | None:
    """Open a file that the processes of a machine share, of at most the size in `running.cache`; None keeps nothing.

    Args:
        folder: Folder of the training; its `state` names the file for a moment.
        count: Number of items.
        size: Measures the bytes of one item.
        processes: All processes of the training; each of them calls this.
    """
    asked = processes.running.cache
    if asked == "off" or not POSSIBLE or not count:
        return None
    state = folder / "state"
    needed = count * processes.on_leader(lambda: _begin(state, size))
    limit = room(folder) if asked == "auto" else int(asked * GB)
    kept = Kept(state / LEFT_OVER.replace("*", socket.gethostname()), count, limit)
    processes.gather(None)  # until every process has opened it
    kept.hide()
    if processes.is_leader and limit < needed and not processes.running.quiet:
        Console(stderr=True).print(
            f"Decoded images take about {needed / GB:.1f} GB, of which {limit / GB:.1f} GB are kept in memory "
            "(--cache). The others are decoded in every epoch.",
            highlight=False,
        )
    return kept


def _begin(state: Path, size: Callable[[], int]) -> int:
    """Remove what a killed run left, and measure one item."""
    for path in state.glob(LEFT_OVER):
        path.unlink(missing_ok=True)
    return size()
