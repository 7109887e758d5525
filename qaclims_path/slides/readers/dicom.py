"""DICOM whole slides that OpenSlide refuses, read by wsidicom (extra `dicom`); and finding a slide in a folder."""

import re
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.errors import BadFile, MissingExtra
from qaclims_path.slides.geometry import LevelRegion, Pixels, read_padded
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Level, SlideInfo

WHITE = (255, 255, 255)
HEADER = 65_536  # bytes of a file in which its series is named
SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)([0-9.]+)", re.DOTALL)


def instances_in(folder: Path) -> dict[str, list[Path]]:
    """The DICOM files of a folder by series."""
    series: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            start = opened.read(HEADER)
        if start[128:132] == b"DICM":
            named = SERIES.search(start)
            series.setdefault(named[2].decode() if named else "", []).append(file)
    return series


def slide_in(folder: Path) -> list[Path]:
    """The files of the one slide in a folder.

    Raises:
        BadFile: The folder holds no DICOM file, those of several slides, or one that does not say what it is of.
    """
    series = instances_in(folder)
    if not series:
        raise BadFile(f"{folder} holds no DICOM files, so it is no slide. Name the slides in it one by one.")
    if len(series) > 1 and "" in series:
        raise BadFile(
            f"{series[''][0]} does not say which slide it is of, as when a copy was cut off. Copy it again, or take it "
            "out of the folder."
        )
    if len(series) > 1:
        examples = ", ".join(files[0].name for files in list(series.values())[:3])
        raise BadFile(
            f"{folder} holds {len(series)} DICOM series; name a file of the one you mean, such as {examples}."
        )
    return next(iter(series.values()))


class DicomBackend:
    """A DICOM slide read by wsidicom."""

    def __init__(self, slide: Any, path: str) -> None:  # noqa: ANN401 - wsidicom may not be installed
        self._slide = slide
        pyramid = sorted(slide.pyramids[0], key=lambda level: int(level.level))
        self._exponents = [int(level.level) for level in pyramid]
        width, height = pyramid[0].size.width, pyramid[0].size.height
        self.info = SlideInfo(
            path=path,
            width=width,
            height=height,
            levels=tuple(
                Level(w, h, (width / w + height / h) / 2)
                for w, h in ((level.size.width, level.size.height) for level in pyramid)
            ),
            mpp=_pixel_size(pyramid[0]),
            power=None,
            background=WHITE,
            bounds=(0, 0, width, height),
            associated=tuple(name for name, found in (("label", slide.labels), ("macro", slide.overviews)) if found),
            backend="dicom",
            vendor="dicom",
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """H W 3 pixels of a level."""
        region = LevelRegion(level, x, y, width, height)
        return read_padded(partial(self._read, level), self.info.levels[level], region, self.info.background)

    def associated(self, name: str) -> Pixels:
        """A label or macro picture."""
        read = self._slide.read_label if name == "label" else self._slide.read_overview
        return np.array(read(0).convert("RGB"))

    def close(self) -> None:
        """Release the files."""
        self._slide.close()

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        try:
            # wsidicom counts positions in pixels of the level, and names levels by their power of two
            region = self._slide.read_region((x, y), self._exponents[level], (width, height))
        except Exception as error:  # its codecs raise anything
            raise BadFile(
                f"{self.info.path} is damaged near pixel {x}, {y} of level {level}: {error}. Copy it again."
            ) from error
        return np.array(region.convert("RGB"))


@SLIDE_READERS.add("dicom")
def open_with_wsidicom(path: str) -> DicomBackend:
    """Open a folder of DICOM instances of one slide, or one instance and those beside it of the same series."""
    try:
        wsidicom = import_module("wsidicom")  # an extra: absent from most installations, and from type checks
    except ImportError as error:
        raise MissingExtra('it needs wsidicom. Install it: pip install "qaclims_path[dicom]"') from error
    file = Path(path)
    if file.is_dir():
        files = slide_in(file)
    else:
        files = next((files for files in instances_in(file.parent).values() if file in files), [file])
    try:
        return DicomBackend(wsidicom.WsiDicom.open(files), path)
    except Exception as error:  # pydicom and wsidicom raise anything on damaged files
        raise UnsupportedFormat(f"wsidicom says '{error}'") from error


def _pixel_size(level: Any) -> tuple[float, float] | None:  # noqa: ANN401 - wsidicom may not be installed
    return None if level.pixel_spacing is None else (float(level.mpp.width), float(level.mpp.height))
