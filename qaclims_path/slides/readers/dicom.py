"""Read DICOM slides that OpenSlide refuses, with wsidicom (extra `dicom`); find the files of a slide in a folder."""

import re
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.assets import install_command
from qaclims_path.errors import BadFile, MissingExtra
from qaclims_path.slides.geometry import LevelRegion, Pixels, read_padded
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Level, SlideInfo

WHITE = (255, 255, 255)
HEADER_BYTES = 65_536  # the part of a file that names its series
SERIES_UID = re.compile(rb"\x20\x00\x0e\x00UI(..)([0-9.]+)", re.DOTALL)


def instances_in(folder: Path) -> dict[str, list[Path]]:
    """Group the DICOM files of a folder by series; files without a series are under the empty name."""
    series: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
        if header[128:132] == b"DICM":
            uid = SERIES_UID.search(header)
            series.setdefault(uid[2].decode() if uid else "", []).append(path)
    return series


def slide_in(folder: Path) -> list[Path]:
    """Return the files of the only slide in a folder.

    Raises:
        BadFile: The folder holds no DICOM file, several series, or a file without a series.
    """
    series = instances_in(folder)
    if not series:
        raise BadFile(f"{folder} holds no DICOM files, so it is not a slide. Name the slides in it one by one.")
    if len(series) > 1 and "" in series:
        raise BadFile(
            f"{series[''][0]} does not say which slide it belongs to; it may be cut off. Copy it again, or remove it "
            "from the folder."
        )
    if len(series) > 1:
        examples = ", ".join(files[0].name for files in list(series.values())[:3])
        raise BadFile(f"{folder} holds {len(series)} DICOM series. Name one file of the slide, such as {examples}.")
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
            associated=tuple(name for name, images in (("label", slide.labels), ("macro", slide.overviews)) if images),
            backend="dicom",
            vendor="dicom",
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a region of a level (H W 3)."""
        region = LevelRegion(level, x, y, width, height)
        return read_padded(partial(self._read, level), self.info.levels[level], region, self.info.background)

    def associated(self, name: str) -> Pixels:
        """Read the label or macro picture."""
        read = self._slide.read_label if name == "label" else self._slide.read_overview
        return np.array(read(0).convert("RGB"))

    def close(self) -> None:
        """Close the files."""
        self._slide.close()

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        try:
            # wsidicom takes positions in pixels of the level, and names a level by its power of two
            region = self._slide.read_region((x, y), self._exponents[level], (width, height))
        except Exception as error:  # codecs raise errors of any type
            raise BadFile(
                f"{self.info.path} is damaged near pixel {x}, {y} of level {level}: {error}. Copy it again."
            ) from error
        return np.array(region.convert("RGB"))


@SLIDE_READERS.add("dicom")
def open_with_wsidicom(path: str) -> DicomBackend:
    """Open a folder with the DICOM instances of one slide, or one instance with the others of its series beside it."""
    try:
        wsidicom = import_module("wsidicom")  # an extra, which most installations and the type checker lack
    except ImportError as error:
        raise MissingExtra(f"wsidicom is missing. Install it: {install_command('dicom')}") from error
    file = Path(path)
    if file.is_dir():
        files = slide_in(file)
    else:
        files = next((files for files in instances_in(file.parent).values() if file in files), [file])
    try:
        return DicomBackend(wsidicom.WsiDicom.open(files), path)
    except Exception as error:  # pydicom and wsidicom raise errors of any type on damaged files
        raise UnsupportedFormat(f"wsidicom says '{error}'") from error


def _pixel_size(level: Any) -> tuple[float, float] | None:  # noqa: ANN401 - wsidicom may not be installed
    return None if level.pixel_spacing is None else (float(level.mpp.width), float(level.mpp.height))
