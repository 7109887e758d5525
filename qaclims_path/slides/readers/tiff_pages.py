"""Which pages of a TIFF are levels, which are label, macro or thumbnail, and what the file says of its pixels."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.errors import BadFile
from qaclims_path.files.images import check_pixels
from qaclims_path.slides.geometry import Pixels
from qaclims_path.slides.readers.pixel_size import PixelSize, from_aperio, from_ome, from_resolution
from qaclims_path.slides.readers.registry import UnsupportedFormat
from qaclims_path.slides.readers.tiff_level import TiledLevel, level_of
from qaclims_path.types import Level, SlideInfo

REDUCED = 1  # bit of NewSubfileType: a smaller version of another page
ORDINARY = ("aperio", "generic-tiff", None)  # OpenSlide's names of layouts that are nothing but tiled pages
Page = Any  # tifffile carries no types


@dataclass(frozen=True)
class TiffContents:
    """A TIFF without its pixels; `pictures` gives the page of every associated one."""

    info: SlideInfo
    levels: tuple[TiledLevel, ...]
    pictures: dict[str, int]


def contents_of(path: str) -> TiffContents:
    """Read the pages of a TIFF.

    Raises:
        UnsupportedFormat: A TIFF (or not even one) that is better left to another reader.
        BadFile: It is cut off or absurd, so that no reader can open it.
    """
    from openslide import OpenSlide

    vendor = OpenSlide.detect_format(path)
    if vendor not in ORDINARY:
        raise UnsupportedFormat(f"the layout '{vendor}' is left to OpenSlide")
    with _opened(path) as tiff:
        pages = list(tiff.pages)
        _check_chain(tiff, path)
        first = pages[0]
        aperio = _described(first).startswith("Aperio")
        chosen = [page for page in pages if page.is_tiled] if aperio else _pyramid(first, pages[1:])
        if not chosen:
            raise UnsupportedFormat("its pixels are not in tiles")
        size = Path(path).stat().st_size
        tiled = tuple(level_of(page, path, size) for page in chosen)
        if aperio and any((level.counts == 0).any() for level in tiled[1:]):
            raise UnsupportedFormat("it lacks tiles, which OpenSlide fills from finer levels")
        pictures = _pictures(pages) if aperio else {}
        mpp, power = from_aperio(_described(first)) if aperio else (_pixel_size(first), None)
    levels = tuple(Level(t.width, t.height, (tiled[0].width / t.width + tiled[0].height / t.height) / 2) for t in tiled)
    width, height = tiled[0].width, tiled[0].height
    info = SlideInfo(
        path=path,
        width=width,
        height=height,
        levels=levels,
        mpp=mpp,
        power=power,
        background=(255, 255, 255),
        bounds=(0, 0, width, height),
        associated=tuple(sorted(pictures)),
        backend="tiff",
        vendor="aperio" if aperio else "generic-tiff",
    )
    return TiffContents(info, tiled, pictures)


def picture_of(path: str, number: int) -> Pixels:
    """The pixels of a small page."""
    with _opened(path) as tiff:
        page = tiff.pages[number]
        check_pixels(Path(path), page.imagewidth, page.imagelength)
        try:
            return np.array(page.asarray(), np.uint8)
        except Exception as error:  # codecs raise anything on damaged files
            raise BadFile(f"Page {number} of {path} is damaged: {error}. Copy the file again.") from error


def _check_chain(tiff: Page, path: str) -> None:
    """The last page must say that none follows; where it points on, pages are lost that tifffile passes over."""
    file = tiff.filehandle
    file.seek(tiff.pages.next_page_offset)
    if any(file.read(tiff.tiff.offsetsize)):
        raise BadFile(f"{path} is cut off or damaged: page {len(tiff.pages) + 1} of it is missing. Copy it again.")


def _pyramid(first: Page, others: list[Page]) -> list[Page]:
    """Level 0 and the tiled, reduced pages: beside it as OpenSlide counts them, or below it as OME-TIFF does."""
    if not first.is_tiled:
        return []
    below = [page for page in first.pages or () if page.is_tiled] if first.subifds else []
    beside = [page for page in others if page.is_tiled and int(page.subfiletype) & REDUCED]
    return [first, *sorted(below or beside, key=lambda page: -page.imagewidth)]


def _pictures(pages: list[Page]) -> dict[str, int]:
    """Aperio: page 1 is the thumbnail, the others say in the second line of their description what they are."""
    found = {}
    for number, page in enumerate(pages):
        lines = _described(page).splitlines()
        name = "thumbnail" if number == 1 else lines[1].split(" ")[0] if len(lines) > 1 else ""
        if not page.is_tiled and name:
            found[name] = number
    return found


def _pixel_size(page: Page) -> PixelSize:
    ome = from_ome(_described(page))
    if ome:
        return ome
    x, y = (_fraction(page.tags.valueof(tag)) for tag in (282, 283))
    return from_resolution(x, y, int(page.tags.valueof(296, 2)))


def _fraction(value: tuple[int, int] | None) -> float:
    return value[0] / value[1] if value and value[1] else 0.0


def _described(page: Page) -> str:
    return str(page.description or "")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """A tifffile object; whatever goes wrong in its parsing means that the file is not for us."""
    import tifffile

    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True  # it reports on standard error what we say in a sentence
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    except (BadFile, OSError):
        raise
    except Exception as error:  # tifffile raises anything on damaged files
        raise UnsupportedFormat(f"tifffile says '{error}'") from error
    finally:
        logger.disabled = before
