"""Read tiles in a background thread while the model computes."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.ahead import ahead
from qaclims_path.slides.geometry import LevelRegion, Pixels
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.streaming import read_regions
from qaclims_path.types import Backend, SlideInfo


class PrefetchBackend:
    """A backend that streams another one and reads two batches of tiles ahead.

    Args:
        backend: The backend that reads; used by this object only.
        batch: Tiles per batch.
        threads: Threads that decode, where the backend can use several.
    """

    def __init__(self, backend: Backend, batch: int, threads: int = 1) -> None:
        self.inner, self.batch, self.threads = backend, batch, threads
        self._reading, self._closed = threading.Lock(), False

    @property
    def info(self) -> SlideInfo:
        """Metadata of the slide."""
        return self.inner.info

    def stream(self, regions: Sequence[LevelRegion], threads: int | None = None) -> Iterator[Pixels]:
        """Yield the pixels of the regions in order."""
        pixels = read_regions(self.inner, regions, threads or self.threads)

        def next_batch(_: int) -> list[Pixels]:
            with self._reading:
                return [] if self._closed else list(islice(pixels, self.batch))

        for batch in ahead(next_batch, range(0, len(regions), self.batch), threads=1):
            yield from batch

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Read with the inner backend, without prefetching."""
        return self.inner.read_level(level, x, y, width, height)

    def associated(self, name: str) -> NDArray[np.uint8]:
        """Read a label, macro or thumbnail picture with the inner backend."""
        return self.inner.associated(name)

    def close(self) -> None:
        """Close the file after the current batch is read."""
        with self._reading:
            self._closed = True
            self.inner.close()


def prefetched(slide: Slide, batch: int, threads: int = 1) -> Slide:
    """Return the same slide, with its tiles read in a background thread, and decoded in several if there are more."""
    return Slide(PrefetchBackend(slide.backend, batch, threads), slide.info.mpp)
