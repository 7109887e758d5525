"""Read slides with tiffslide, which has OpenSlide's interface and reads remote files through fsspec."""

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qaclims_path.errors import BadFile
from qaclims_path.slides.geometry import LevelRegion, Pixels, read_padded
from qaclims_path.slides.readers.openslide import info_of
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat

if TYPE_CHECKING:
    from tiffslide import TiffSlide


class TiffSlideBackend:
    """A slide read by tiffslide."""

    def __init__(self, slide: "TiffSlide", path: str) -> None:
        self._slide = slide
        self.info = info_of(slide, path, "tiffslide")

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a region of a level (H W 3)."""
        region = LevelRegion(level, x, y, width, height)
        return read_padded(partial(self._read, level), self.info.levels[level], region, self.info.background)

    def associated(self, name: str) -> Pixels:
        """Read the label, macro or thumbnail picture."""
        return np.array(self._slide.associated_images[name].convert("RGB"))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        downsample = self.info.levels[level].downsample
        # tiffslide divides by the downsample and rounds down, so rounding up here gives exactly pixel x, y
        location = math.ceil(x * downsample), math.ceil(y * downsample)
        try:
            pixels = self._slide.read_region(location, level, (width, height), as_array=True)
        except Exception as error:  # codecs and file systems raise errors of any type
            raise BadFile(
                f"{self.info.path} is damaged near pixel {x}, {y} of level {level}: {error}. Copy it again."
            ) from error
        return np.array(pixels, np.uint8)


@SLIDE_READERS.add("tiffslide")
def open_with_tiffslide(path: str) -> TiffSlideBackend:
    """Open a file, or a URL such as s3://bucket/slide.svs."""
    from tiffslide import TiffSlide

    try:
        slide = TiffSlide(path)
        page = slide.ts_tifffile.series[slide.properties["tiffslide.series-index"]].levels[0].keyframe
    except Exception as error:  # tifffile and fsspec raise errors of any type
        raise UnsupportedFormat(f"tiffslide says '{error}'") from error
    if not page.is_tiled or page.dtype != np.uint8 or page.shape[2:] != (3,):
        slide.close()
        raise UnsupportedFormat("its pixels are not 8-bit RGB in tiles")
    return TiffSlideBackend(slide, path)
