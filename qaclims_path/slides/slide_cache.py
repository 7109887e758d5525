"""A cache of open slides, because opening a slide takes longer than reading a tile."""

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaclims_path.slides.reader import Slide

Key = tuple[str, str, float | tuple[float, float] | None]


class SlideCache:
    """The most recently used slides, kept open; a copy in another process starts empty.

    Not thread-safe: use one cache per thread.
    """

    def __init__(self, max_open: int = 16) -> None:
        self.max_open = max_open
        self._open: OrderedDict[Key, Slide] = OrderedDict()
        self._process = os.getpid()

    def __call__(self, path: str, backend: str, mpp: float | tuple[float, float] | None) -> "Slide":
        """Return the open slide; open it first if needed."""
        from qaclims_path.slides.reader import open_slide

        if self._process != os.getpid():  # a forked worker must not share file positions with its parent
            self._open, self._process = OrderedDict(), os.getpid()
        key = (path, backend, mpp)
        if key not in self._open:
            self._open[key] = open_slide(path, backend=backend, mpp=mpp)
        self._open.move_to_end(key)
        while len(self._open) > self.max_open:
            self._open.popitem(last=False)[1].close()
        return self._open[key]

    def close(self) -> None:
        """Close all slides."""
        while self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {"max_open": self.max_open, "_open": OrderedDict(), "_process": -1}
