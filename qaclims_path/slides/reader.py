"""Open any slide and read any region of it in micrometres."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from qaclims_path.errors import BadFile, MissingExtra, ResolutionUnknown, UsageError
from qaclims_path.slides.geometry import Pixels, locate, resample
from qaclims_path.slides.readers import SLIDE_READERS, NotMine
from qaclims_path.types import Backend, SlideInfo

OURS = ("tiff", "openslide", "dicom", "tiffslide", "image")
PICTURES = (b"\x89PNG", b"\xff\xd8\xff")
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Slide:
    """A slide that is read in micrometres per pixel; levels are its own business.

    May be pickled or inherited by a fork: another process opens the file again, with the same reader and pixel size.

    Example:
        >>> with open_slide("case-1.svs") as slide:  # doctest: +SKIP
        ...     tile = slide.read(10_000, 12_000, 224, 224, mpp=0.5)
    """

    def __init__(self, backend: Backend, mpp: tuple[float, float] | None = None) -> None:
        self._backend = backend
        self._process = os.getpid()
        self.info: SlideInfo = replace(backend.info, mpp=mpp) if mpp else backend.info
        self._given = mpp

    @property
    def backend(self) -> Backend:
        """The reader; a forked process opens its own, because two cannot share a position in a file."""
        if self._process != os.getpid():
            self._backend = SLIDE_READERS[self.info.backend](self.info.path)
            self._process = os.getpid()
        return self._backend

    @property
    def mpp(self) -> tuple[float, float]:
        """Pixel size of level 0 in micrometres, (x, y).

        Raises:
            ResolutionUnknown: The file does not say and nobody else did.
        """
        if self.info.mpp is None:
            raise ResolutionUnknown(
                f"{self.info.path} does not say how large its pixels are. Give it with --slide-mpp (micrometres per "
                "pixel of the full resolution), or in the column 'mpp' of the slide list."
            )
        return self.info.mpp

    def steps(self, mpp: float | tuple[float, float]) -> tuple[float, float]:
        """Level 0 pixels per pixel of a picture with `mpp` micrometres per pixel, (x, y)."""
        wanted = as_pair(mpp)
        return wanted[0] / self.mpp[0], wanted[1] / self.mpp[1]

    def read(self, x0: float, y0: float, width: int, height: int, mpp: float | tuple[float, float]) -> Pixels:
        """Read a region as height width 3 pixels.

        The coarsest level that is as fine as `mpp` is read and resampled; pixel sizes within 1 % count as equal and
        are not resampled. Beyond the border lies background.

        Args:
            x0: Left edge in level 0 pixels.
            y0: Top edge in level 0 pixels.
            width: Of the result in pixels.
            height: Of the result in pixels.
            mpp: Micrometres per pixel of the result: one number, or (x, y).
        """
        return self.read_by_step(x0, y0, (width, height), self.steps(mpp))

    def read_by_step(self, x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]) -> Pixels:
        """As `read`, for (width, height) pixels that lie `step` (x, y) level 0 pixels apart: no pixel size needed."""
        if min(size) < 1 or not all(math.isfinite(v) and v > 0 for v in step):
            raise UsageError(f"A region of {size[0]} x {size[1]} pixels, {step} apart, cannot be read.")
        place = locate(self.info.levels, x0, y0, size, step)
        if place.is_huge and max(size) > 1:
            return self._in_halves(x0, y0, size, step)
        pixels = self.backend.read_level(place.level, place.x, place.y, place.width, place.height)
        return pixels if place.box is None else resample(pixels, place.box, size)

    def _in_halves(self, x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]) -> Pixels:
        width, height = size
        if width >= height:
            half = width // 2
            left = self.read_by_step(x0, y0, (half, height), step)
            return np.hstack([left, self.read_by_step(x0 + half * step[0], y0, (width - half, height), step)])
        half = height // 2
        top = self.read_by_step(x0, y0, (width, half), step)
        return np.vstack([top, self.read_by_step(x0, y0 + half * step[1], (width, height - half), step)])

    def thumbnail(self, max_px: int) -> Pixels:
        """The whole slide, its longer side `max_px` pixels or less; never enlarged."""
        step = max(1.0, max(self.info.width, self.info.height) / max_px)
        width, height = (max(1, round(side / step)) for side in (self.info.width, self.info.height))
        return self.read_by_step(0, 0, (width, height), (self.info.width / width, self.info.height / height))

    def associated(self, name: str) -> Pixels:
        """The label, macro or thumbnail picture as H W 3."""
        if name not in self.info.associated:
            known = ", ".join(self.info.associated) or "none"
            raise UsageError(f"{self.info.path} has no picture '{name}'. It has: {known}.")
        return self.backend.associated(name)

    def close(self) -> None:
        """Release the file."""
        self.backend.close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., "Slide"], tuple[str]]:
        return partial(open_slide, backend=self.info.backend, mpp=self._given), (self.info.path,)


def open_slide(path: str | Path, *, backend: str = "auto", mpp: float | tuple[float, float] | None = None) -> Slide:
    """Open a slide file, a folder of DICOM instances, a picture, or an address that fsspec knows.

    Args:
        path: What to open.
        backend: Name of a reader; `auto` takes the fastest that is exact for the file.
        mpp: Pixel size of level 0 in micrometres, which overrides that of the file: one number, or (x, y).
    """
    place = str(path)
    given = None if mpp is None else as_pair(mpp)
    if backend != "auto":
        reader = SLIDE_READERS[backend]
        if "://" not in place:
            _first_bytes(Path(place))
        try:
            return Slide(reader(place), given)
        except NotMine as error:
            raise BadFile(f"{place} cannot be opened with '{backend}': {error}. Try --backend auto.") from error
    refusals = []
    for name in _candidates(place):
        try:
            return Slide(SLIDE_READERS[name](place), given)
        except (NotMine, MissingExtra) as error:
            refusals.append(f"{name}: {error}")
    raise BadFile(f"{place} is no slide or picture that can be read ({'; '.join(refusals)}).")


def as_pair(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """A pixel size as (x, y), checked."""
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    if not all(math.isfinite(v) and v > 0 for v in (x, y)):
        raise UsageError(f"A pixel size of {mpp} micrometres is impossible; it must be above 0.")
    return float(x), float(y)


def _candidates(place: str) -> Iterator[str]:
    """The readers to try, best first; those of third parties last, because finding them takes longer than opening."""
    yield from ("tiffslide",) if "://" in place else _ours(Path(place))
    yield from (name for name in SLIDE_READERS if name not in OURS)


def _ours(path: Path) -> tuple[str, ...]:
    start = _first_bytes(path)
    if path.is_dir() or start[128:132] == b"DICM":
        return ("openslide", "dicom")
    if start.startswith(PICTURES):
        return ("image",)
    if start.startswith(TIFFS):
        return ("tiff", "openslide", "tiffslide", "image")
    return ("openslide", "image")


def _first_bytes(path: Path) -> bytes:
    """What a file begins with; nothing for a folder."""
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        raise BadFile(f"{path} is neither a file nor a folder.")
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}.") from error
    if not start:
        raise BadFile(f"{path} is empty (0 bytes). Copy it again.")
    return start
