"""Read slides with OpenSlide, the reference reader for vendor formats, including DICOM."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.errors import BadFile
from qaclims_path.files.numbers import parse_number
from qaclims_path.slides.geometry import LevelRegion, Pixels, on_background, read_padded, round_half_up
from qaclims_path.slides.readers.pixel_size import PixelSize, from_ome, plausible
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Level, SlideInfo

if TYPE_CHECKING:
    import openslide

WHITE = (255, 255, 255)


class OpenSlideBackend:
    """A slide read by OpenSlide.

    OpenSlide takes positions in level 0 pixels. If the downsample of a level is not an integer, it interpolates between
    pixels of the level; we ask for the level 0 pixel nearest to the requested one.
    """

    def __init__(self, slide: "openslide.OpenSlide", path: str) -> None:
        self._slide = slide
        self.info = info_of(slide, path, "openslide")

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a region of a level (H W 3)."""
        region = LevelRegion(level, x, y, width, height)
        return read_padded(partial(self._read, level), self.info.levels[level], region, self.info.background)

    def associated(self, name: str) -> Pixels:
        """Read the label, macro or thumbnail picture."""
        return on_background(self._slide.associated_images[name].convert("RGBA"), self.info.background)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        from openslide import OpenSlideError

        downsample = self.info.levels[level].downsample
        try:
            region = self._slide.read_region(
                (round_half_up(x * downsample), round_half_up(y * downsample)), level, (width, height)
            )
        except OpenSlideError as error:
            raise BadFile(
                f"{self.info.path} is damaged near pixel {x}, {y} of level {level}: {error}. Copy it again."
            ) from error
        return on_background(region, self.info.background)


@SLIDE_READERS.add("openslide")
def open_with_openslide(path: str) -> OpenSlideBackend:
    """Open a file, or a folder with the DICOM instances of one slide."""
    import openslide

    from qaclims_path.slides.readers.dicom import slide_in

    refusals = []
    # any instance of a DICOM slide opens the whole slide, so try the next one if the first is damaged
    for file in slide_in(Path(path)) if Path(path).is_dir() else [path]:
        try:
            return OpenSlideBackend(openslide.OpenSlide(file), path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise UnsupportedFormat("OpenSlide does not support the format") from error
        except openslide.OpenSlideError as error:
            refusals.append(_brief(error, str(file)))
    raise UnsupportedFormat(f"OpenSlide says {refusals[0]}")


def info_of(slide: Any, path: str, backend: str) -> SlideInfo:  # noqa: ANN401 - any object with OpenSlide's interface
    """Collect the metadata of an object with OpenSlide's interface, whose properties begin with the backend's name."""
    width, height = slide.dimensions
    levels = zip(slide.level_dimensions, slide.level_downsamples, strict=True)
    prefix = f"{backend}."
    properties = {key.partition(".")[2]: value for key, value in slide.properties.items() if key.startswith(prefix)}
    bounds = (parse_number(properties.get(f"bounds-{key}")) for key in ("x", "y", "width", "height"))
    left, top, scanned_width, scanned_height = bounds
    background = properties.get("background-color")
    return SlideInfo(
        path=path,
        width=width,
        height=height,
        levels=tuple(Level(w, h, float(downsample)) for (w, h), downsample in levels),
        mpp=_pixel_size(properties),
        power=parse_number(properties.get("objective-power")),
        background=_colour(background) if background else WHITE,
        bounds=(int(left or 0), int(top or 0), int(scanned_width or width), int(scanned_height or height)),
        associated=tuple(slide.associated_images),
        backend=backend,
        vendor=properties.get("vendor") or "unknown",
    )


def _pixel_size(properties: Mapping[str, Any]) -> PixelSize:
    x, y = parse_number(properties.get("mpp-x")), parse_number(properties.get("mpp-y"))
    if properties.get("vendor") in ("generic-tiff", None):
        # in a plain TIFF, OME-XML is more reliable than the resolution tags, which may be meant for a printer
        ome = from_ome(properties.get("comment") or "")
        return ome or (plausible(x, y) if x and y else None)
    return (x, y) if x and y else None


def _colour(text: str) -> tuple[int, int, int]:
    value = int(text.lstrip("#"), 16)
    return value >> 16 & 255, value >> 8 & 255, value & 255


def _brief(error: Exception, path: str) -> str:
    return f"'{str(error).replace(path, Path(path).name)}'"
