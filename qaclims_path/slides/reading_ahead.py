"""Reading a slide in a thread of its own, so that pixels are there when the model wants them."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.ahead import ahead
from qaclims_path.slides.geometry import Pixels, Place
from qaclims_path.slides.reader import Slide
from qaclims_path.slides.streaming import Streams
from qaclims_path.types import Backend, SlideInfo


class ReadingAhead:
    """A backend that reads two batches of tiles ahead of whoever streams them.

    Args:
        backend: That reads; nobody else may use it meanwhile.
        batch: Tiles that are read together.
    """

    def __init__(self, backend: Backend, batch: int) -> None:
        self.inner, self.batch = backend, batch
        self._reading, self._closed = threading.Lock(), False

    @property
    def info(self) -> SlideInfo:
        """What the slide says of itself."""
        return self.inner.info

    def stream(self, places: Sequence[Place]) -> Iterator[Pixels]:
        """Pixels of the places in their order."""
        found = self._read(places)

        def batch(_: int) -> list[Pixels]:
            with self._reading:
                return [] if self._closed else list(islice(found, self.batch))

        for pixels in ahead(batch, range(0, len(places), self.batch), threads=1):
            yield from pixels

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """As the backend does."""
        return self.inner.read_level(level, x, y, width, height)

    def associated(self, name: str) -> NDArray[np.uint8]:
        """As the backend does."""
        return self.inner.associated(name)

    def close(self) -> None:
        """Release the file, once the thread has let go of it."""
        with self._reading:
            self._closed = True
            self.inner.close()

    def _read(self, places: Sequence[Place]) -> Iterator[Pixels]:
        if isinstance(self.inner, Streams):
            yield from self.inner.stream(places)
        else:
            for place in places:
                yield self.inner.read_level(place.level, place.x, place.y, place.width, place.height)


def reading_ahead(slide: Slide, batch: int) -> Slide:
    """The same slide, its tiles read ahead."""
    return Slide(ReadingAhead(slide.backend, batch), slide.info.mpp)
