"""Find the levels and the associated pictures among the pages of a TIFF, and read its metadata."""

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
PLAIN_LAYOUTS = ("aperio", "generic-tiff", None)  # OpenSlide's names of layouts that consist of tiled pages only
Page = Any  # tifffile carries no types


@dataclass(frozen=True)
class TiffContents:
    """The contents of a TIFF without pixels; `pictures` maps the name of each associated picture to its page."""

    info: SlideInfo
    levels: tuple[TiledLevel, ...]
    pictures: dict[str, int]


def contents_of(path: str) -> TiffContents:
    """Read the pages of a TIFF.

    Raises:
        UnsupportedFormat: Another reader should open it, or it is not a TIFF.
        BadFile: It is cut off or damaged, so that no reader can open it.
    """
    from openslide import OpenSlide

    vendor = OpenSlide.detect_format(path)
    if vendor not in PLAIN_LAYOUTS:
        raise UnsupportedFormat(f"the layout '{vendor}' is left to OpenSlide")
    with _open_tiff(path) as tiff:
        pages = list(tiff.pages)
        _check_chain(tiff, path)
        first = pages[0]
        aperio = _description(first).startswith("Aperio")
        level_pages = [page for page in pages if page.is_tiled] if aperio else _pyramid(first, pages[1:])
        if not level_pages:
            raise UnsupportedFormat("its pixels are not in tiles")
        size = Path(path).stat().st_size
        tiled = tuple(level_of(page, path, size) for page in level_pages)
        if aperio and any((level.counts == 0).any() for level in tiled[1:]):
            raise UnsupportedFormat("it lacks tiles, which OpenSlide fills from finer levels")
        pictures = _pictures(pages) if aperio else {}
        mpp, power = from_aperio(_description(first)) if aperio else (_pixel_size(first), None)
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


def picture_of(path: str, page_index: int) -> Pixels:
    """Read the pixels of an associated picture (H W 3)."""
    with _open_tiff(path) as tiff:
        page = tiff.pages[page_index]
        check_pixels(Path(path), page.imagewidth, page.imagelength)
        try:
            return np.array(page.asarray(), np.uint8)
        except Exception as error:  # codecs raise errors of any type on damaged files
            raise BadFile(f"Page {page_index} of {path} is damaged: {error}. Copy the file again.") from error


def _check_chain(tiff: Page, path: str) -> None:
    """Refuse a file whose last page points to a further page: tifffile drops unreadable pages silently."""
    file = tiff.filehandle
    file.seek(tiff.pages.next_page_offset)
    if any(file.read(tiff.tiff.offsetsize)):
        raise BadFile(f"{path} is cut off or damaged: its page {len(tiff.pages) + 1} is missing. Copy it again.")


def _pyramid(first: Page, others: list[Page]) -> list[Page]:
    """The level pages, largest first: sub-pages of the first page as in OME-TIFF, else reduced pages after it."""
    if not first.is_tiled:
        return []
    sub_pages = [page for page in first.pages or () if page.is_tiled] if first.subifds else []
    reduced = [page for page in others if page.is_tiled and int(page.subfiletype) & REDUCED]
    return [first, *sorted(sub_pages or reduced, key=lambda page: -page.imagewidth)]


def _pictures(pages: list[Page]) -> dict[str, int]:
    """Pages of Aperio's pictures: page 1 is the thumbnail, others are named in the second line of the description."""
    pictures = {}
    for index, page in enumerate(pages):
        lines = _description(page).splitlines()
        name = "thumbnail" if index == 1 else lines[1].split(" ")[0] if len(lines) > 1 else ""
        if not page.is_tiled and name:
            pictures[name] = index
    return pictures


def _pixel_size(page: Page) -> PixelSize:
    ome = from_ome(_description(page))
    if ome:
        return ome
    x, y = (_fraction(page.tags.valueof(tag)) for tag in (282, 283))
    return from_resolution(x, y, int(page.tags.valueof(296, 2)))


def _fraction(value: tuple[int, int] | None) -> float:
    return value[0] / value[1] if value and value[1] else 0.0


def _description(page: Page) -> str:
    return str(page.description or "")


@contextmanager
def _open_tiff(path: str) -> Iterator[Any]:
    """Open a file with tifffile, and turn its parsing errors into `UnsupportedFormat`."""
    import tifffile

    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True  # our own error says it in one sentence
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    except (BadFile, OSError):
        raise
    except Exception as error:  # tifffile raises errors of any type on damaged files
        raise UnsupportedFormat(f"tifffile says '{error}'") from error
    finally:
        logger.disabled = before
