"""Slides that stay open, so that no tile pays for opening its slide."""

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaclims_path.slides.reader import Slide

Key = tuple[str, str, float | tuple[float, float] | None]


class OpenSlides:
    """The slides that this process holds open, the last used ones only; a copy in another process starts with none.

    Not for several threads at once: each has one of its own.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._open: OrderedDict[Key, Slide] = OrderedDict()
        self._process = os.getpid()

    def __call__(self, path: str, backend: str, mpp: float | tuple[float, float] | None) -> "Slide":
        """The slide, opened if it is not."""
        from qaclims_path.slides.reader import open_slide

        if self._process != os.getpid():  # a forked worker must not share the parent's place in a file
            self._open, self._process = OrderedDict(), os.getpid()
        key = (path, backend, mpp)
        if key not in self._open:
            self._open[key] = open_slide(path, backend=backend, mpp=mpp)
        self._open.move_to_end(key)
        while len(self._open) > self.most:
            self._open.popitem(last=False)[1].close()
        return self._open[key]

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most, "_open": OrderedDict(), "_process": -1}
