"""Open any slide, and read any region of it at a pixel size in micrometres."""

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
from qaclims_path.slides.readers import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Backend, SlideInfo

BUILT_IN = ("tiff", "openslide", "dicom", "tiffslide", "image")
PICTURE_HEADERS = (b"\x89PNG", b"\xff\xd8\xff")
TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Slide:
    """A slide that is read at a pixel size in micrometres; it chooses the level itself.

    It can be pickled and survives a fork: the other process opens the file again, with the same reader and pixel size.

    Examples:
        >>> with open_slide("case-1.svs") as slide:  # doctest: +SKIP
        ...     tile = slide.read(10_000, 12_000, 224, 224, mpp=0.5)
    """

    def __init__(self, backend: Backend, mpp: tuple[float, float] | None = None) -> None:
        self._backend = backend
        self._process = os.getpid()
        self.info: SlideInfo = replace(backend.info, mpp=mpp) if mpp else backend.info
        self._mpp_override = mpp

    @property
    def backend(self) -> Backend:
        """The reader; a forked process opens its own, because processes must not share a file position."""
        if self._process != os.getpid():
            self._backend = SLIDE_READERS[self.info.backend](self.info.path)
            self._process = os.getpid()
        return self._backend

    @property
    def mpp(self) -> tuple[float, float]:
        """Pixel size of level 0 in micrometres, (x, y).

        Raises:
            ResolutionUnknown: Neither the file nor the caller says it.
        """
        if self.info.mpp is None:
            raise ResolutionUnknown(
                f"{self.info.path} does not say its pixel size. Give it with --slide-mpp (micrometres per pixel of "
                "the full resolution), or in the column 'mpp' of the slide list."
            )
        return self.info.mpp

    def steps(self, mpp: float | tuple[float, float]) -> tuple[float, float]:
        """Convert a pixel size in micrometres to level 0 pixels per pixel, (x, y)."""
        x, y = as_pair(mpp)
        return x / self.mpp[0], y / self.mpp[1]

    def read(self, x0: float, y0: float, width: int, height: int, mpp: float | tuple[float, float]) -> Pixels:
        """Read a region as height width 3 pixels.

        Reads the coarsest level that is at least as fine as `mpp`, and resamples it unless its pixel size is within 1 %
        of `mpp`. Pixels outside the slide have the background colour.

        Args:
            x0: Left edge in level 0 pixels.
            y0: Top edge in level 0 pixels.
            width: Width of the result in pixels.
            height: Height of the result in pixels.
            mpp: Micrometres per pixel of the result: one number, or (x, y).
        """
        return self.read_by_step(x0, y0, (width, height), self.steps(mpp))

    def read_by_step(self, x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]) -> Pixels:
        """Read as `read` does, but without a pixel size.

        Args:
            x0: Left edge in level 0 pixels.
            y0: Top edge in level 0 pixels.
            size: Width and height of the result in pixels.
            step: Level 0 pixels per pixel of the result, (x, y).
        """
        if min(size) < 1 or not all(math.isfinite(v) and v > 0 for v in step):
            raise UsageError(f"A region of {size[0]} x {size[1]} pixels, {step} apart, cannot be read.")
        region = locate(self.info.levels, x0, y0, size, step)
        if region.is_huge and max(size) > 1:
            return self._read_halves(x0, y0, size, step)
        pixels = self.backend.read_level(region.level, region.x, region.y, region.width, region.height)
        return pixels if region.box is None else resample(pixels, region.box, size)

    def _read_halves(self, x0: float, y0: float, size: tuple[int, int], step: tuple[float, float]) -> Pixels:
        width, height = size
        if width >= height:
            half = width // 2
            left = self.read_by_step(x0, y0, (half, height), step)
            return np.hstack([left, self.read_by_step(x0 + half * step[0], y0, (width - half, height), step)])
        half = height // 2
        top = self.read_by_step(x0, y0, (width, half), step)
        return np.vstack([top, self.read_by_step(x0, y0 + half * step[1], (width, height - half), step)])

    def thumbnail(self, max_px: int) -> Pixels:
        """Read the whole slide with a longer side of at most `max_px` pixels."""
        step = max(1.0, max(self.info.width, self.info.height) / max_px)
        width, height = (max(1, round(side / step)) for side in (self.info.width, self.info.height))
        return self.read_by_step(0, 0, (width, height), (self.info.width / width, self.info.height / height))

    def associated(self, name: str) -> Pixels:
        """Read the label, macro or thumbnail picture (H W 3)."""
        if name not in self.info.associated:
            known = ", ".join(self.info.associated) or "none"
            raise UsageError(f"{self.info.path} has no picture '{name}'. It has: {known}.")
        return self.backend.associated(name)

    def close(self) -> None:
        """Close the file."""
        self.backend.close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., "Slide"], tuple[str]]:
        return partial(open_slide, backend=self.info.backend, mpp=self._mpp_override), (self.info.path,)


def open_slide(path: str | Path, *, backend: str = "auto", mpp: float | tuple[float, float] | None = None) -> Slide:
    """Open a slide file, a folder of DICOM instances, a picture, or a URL that fsspec supports.

    Args:
        path: Path or URL.
        backend: Name of a reader; `auto` takes the fastest that reads the file exactly.
        mpp: Pixel size of level 0 in micrometres, one number or (x, y); overrides that of the file.
    """
    address = str(path)
    pixel_size = None if mpp is None else as_pair(mpp)
    if backend != "auto":
        reader = SLIDE_READERS[backend]
        if "://" not in address:
            _header(Path(address))
        try:
            return Slide(reader(address), pixel_size)
        except UnsupportedFormat as error:
            raise BadFile(f"{address} cannot be opened with '{backend}': {error}. Try --backend auto.") from error
    refusals = []
    for name in _candidates(address):
        try:
            return Slide(SLIDE_READERS[name](address), pixel_size)
        except (UnsupportedFormat, MissingExtra) as error:
            refusals.append(f"{name}: {error}")
    raise BadFile(f"{address} is no slide or picture that can be read ({'; '.join(refusals)}).")


def as_pair(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """Check a pixel size and return it as (x, y)."""
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    if not all(math.isfinite(v) and v > 0 for v in (x, y)):
        raise UsageError(f"A pixel size of {mpp} micrometres is impossible; it must be above 0.")
    return float(x), float(y)


def _candidates(address: str) -> Iterator[str]:
    """The readers to try, best first; plug-ins last, because searching for them takes longer than opening a slide."""
    yield from ("tiffslide",) if "://" in address else _built_in_candidates(Path(address))
    yield from (name for name in SLIDE_READERS if name not in BUILT_IN)


def _built_in_candidates(path: Path) -> tuple[str, ...]:
    header = _header(path)
    if path.is_dir() or header[128:132] == b"DICM":
        return ("openslide", "dicom")
    if header.startswith(PICTURE_HEADERS):
        return ("image",)
    if header.startswith(TIFF_HEADERS):
        return ("tiff", "openslide", "tiffslide", "image")
    return ("openslide", "image")


def _header(path: Path) -> bytes:
    """Return the first bytes of a file; none for a folder."""
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        raise BadFile(f"{path} is neither a file nor a folder.")
    try:
        with path.open("rb") as file:
            header = file.read(132)
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}.") from error
    if not header:
        raise BadFile(f"{path} is empty (0 bytes). Copy it again.")
    return header
