"""Decoded tiles that will, or may, be needed again."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable

from qaclims_path.slides.geometry import Pixels

Key = tuple[int, int]  # level and number of a tile
STREAM_BYTES = 512 * 2**20  # two rows of 256 px tiles of a slide 300 000 px wide
RECENT_BYTES = 32 * 2**20  # as OpenSlide


class TileStore:
    """Keeps decoded tiles until their last use where the uses are known, else the most recent ones.

    Args:
        uses: How often each tile will be asked for, or None where nobody knows.
        limit: Bytes to hold; beyond, the oldest tiles are forgotten, and decoded again should they be needed.
    """

    def __init__(self, uses: Counter[Key] | None = None, limit: int = STREAM_BYTES) -> None:
        self._left = uses
        self._limit = limit
        self._kept: OrderedDict[Key, Pixels] = OrderedDict()
        self._bytes = 0
        self._spare: list[Pixels] = []
        self._lock = threading.Lock()

    def take(self, key: Key, decode: Callable[[Key, Pixels | None], Pixels]) -> tuple[Pixels, bool]:
        """The pixels of a tile, and whether this was its last use, so that the caller may have them for itself.

        Args:
            key: Which tile.
            decode: Makes its pixels, in the array it is given where one is to spare.
        """
        with self._lock:
            pixels = self._forget(key)
        if pixels is None:
            pixels = decode(key, self._spare.pop() if self._spare else None)
        with self._lock:
            if self._left is not None:
                self._left[key] -= 1
                if self._left[key] <= 0:
                    return pixels, True
            self._forget(key)  # another thread may have been as fast
            self._kept[key] = pixels
            self._bytes += pixels.nbytes
            while self._bytes > self._limit:
                self._forget(next(iter(self._kept)))
        return pixels, False

    def reuse(self, pixels: Pixels) -> None:
        """Give back an array that `take` gave away: fresh memory costs as much time as a tenth of the decoding."""
        self._spare.append(pixels)

    def _forget(self, key: Key) -> Pixels | None:
        pixels = self._kept.pop(key, None)
        if pixels is not None:
            self._bytes -= pixels.nbytes
        return pixels
