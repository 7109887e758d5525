"""A cache of decoded tiles."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable

from qaclims_path.files.ahead import ahead
from qaclims_path.slides.geometry import Pixels

Key = tuple[int, int]  # level and index of a tile
Decode = Callable[[Key, Pixels | None], Pixels]
STREAM_BYTES = 512 * 2**20  # two rows of 256 px tiles of a slide 300 000 px wide
RECENT_BYTES = 32 * 2**20  # as in OpenSlide


class TileStore:
    """Keeps every decoded tile until its last use if the uses are known, else the most recently used tiles.

    Args:
        uses: How often each tile will be taken, or None if unknown.
        limit: Largest size in bytes; beyond it the oldest tiles are dropped and decoded again when needed.
    """

    def __init__(self, uses: Counter[Key] | None = None, limit: int = STREAM_BYTES) -> None:
        self._uses_left = uses
        self._limit = limit
        self._tiles: OrderedDict[Key, Pixels] = OrderedDict()
        self._bytes = 0
        self._spare: list[Pixels] = []
        self._lock = threading.Lock()

    def take(self, key: Key, decode: Decode) -> tuple[Pixels, bool]:
        """Return the pixels of a tile and whether this was its last use; after the last use the caller owns them.

        Args:
            key: Level and index of the tile.
            decode: Decodes a tile, into the spare array if it gets one.
        """
        with self._lock:
            pixels = self._drop(key)
        if pixels is None:
            pixels = decode(key, self._spare.pop() if self._spare else None)
        with self._lock:
            if self._uses_left is not None:
                self._uses_left[key] -= 1
                if self._uses_left[key] <= 0:
                    return pixels, True
            self._drop(key)  # another thread may have stored the tile meanwhile
            self._tiles[key] = pixels
            self._bytes += pixels.nbytes
            while self._bytes > self._limit:
                self._drop(next(iter(self._tiles)))
        return pixels, False

    def recycle(self, pixels: Pixels) -> None:
        """Return an array to decode into: allocating memory takes a tenth of the time of decoding."""
        self._spare.append(pixels)

    def _drop(self, key: Key) -> Pixels | None:
        pixels = self._tiles.pop(key, None)
        if pixels is not None:
            self._bytes -= pixels.nbytes
        return pixels


class DecodingAhead:
    """Decodes tiles in threads before they are asked for; a tile that comes out of turn is decoded at once.

    Args:
        decode: Decodes a tile.
        keys: The tiles in the order in which each is first asked for.
        threads: Number of threads.
    """

    def __init__(self, decode: Decode, keys: Iterable[Key], threads: int) -> None:
        self._decode, self._keys = decode, deque(keys)
        self._decoded = ahead(lambda key: decode(key, None), tuple(self._keys), threads)

    def __call__(self, key: Key, spare: Pixels | None) -> Pixels:
        """Return the pixels of a tile."""
        if not self._keys or self._keys[0] != key:
            return self._decode(key, spare)
        self._keys.popleft()
        return next(self._decoded)

    def close(self) -> None:
        """End the threads."""
        self._decoded.close()
