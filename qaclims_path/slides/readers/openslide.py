"""OpenSlide: the reader of record for the formats of every vendor, DICOM included."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.errors import BadFile
from qaclims_path.files.numbers import parse_number
from qaclims_path.slides.geometry import LevelRegion, Pixels, on_background, read_padded, round_half_up
from qaclims_path.slides.readers.pixel_size import PixelSize, believable, from_ome
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Level, SlideInfo

if TYPE_CHECKING:
    import openslide

WHITE = (255, 255, 255)


class OpenSlideBackend:
    """A slide read by OpenSlide.

    Where a level's downsample is no whole number, OpenSlide regions regions between its pixels and interpolates; the
    region that starts nearest to the pixel asked for is read.
    """

    def __init__(self, slide: "openslide.OpenSlide", path: str) -> None:
        self._slide = slide
        self.info = info_of(slide, path, "openslide")

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """H W 3 pixels of a level."""
        region = LevelRegion(level, x, y, width, height)
        return read_padded(partial(self._read, level), self.info.levels[level], region, self.info.background)

    def associated(self, name: str) -> Pixels:
        """A label, macro or thumbnail picture."""
        return on_background(self._slide.associated_images[name].convert("RGBA"), self.info.background)

    def close(self) -> None:
        """Release the file."""
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
    """Open a file, or a folder of DICOM instances of one slide."""
    import openslide

    from qaclims_path.slides.readers.dicom import slide_in

    refusals = []
    for file in slide_in(Path(path)) if Path(path).is_dir() else [path]:  # of a damaged one, others may know the rest
        try:
            return OpenSlideBackend(openslide.OpenSlide(file), path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise UnsupportedFormat("OpenSlide knows no such format") from error
        except openslide.OpenSlideError as error:
            refusals.append(_brief(error, str(file)))
    raise UnsupportedFormat(f"OpenSlide says {refusals[0]}")


def info_of(slide: Any, path: str, backend: str) -> SlideInfo:  # noqa: ANN401 - an OpenSlide, or what looks like one
    """What a slide object with OpenSlide's interface says of itself; its properties begin with the backend's name."""
    width, height = slide.dimensions
    levels = zip(slide.level_dimensions, slide.level_downsamples, strict=True)
    facts = {key.partition(".")[2]: value for key, value in slide.properties.items() if key.startswith(f"{backend}.")}
    left, top, across, down = (parse_number(facts.get(f"bounds-{key}")) for key in ("x", "y", "width", "height"))
    background = facts.get("background-color")
    return SlideInfo(
        path=path,
        width=width,
        height=height,
        levels=tuple(Level(w, h, float(downsample)) for (w, h), downsample in levels),
        mpp=_pixel_size(facts),
        power=parse_number(facts.get("objective-power")),
        background=_colour(background) if background else WHITE,
        bounds=(int(left or 0), int(top or 0), int(across or width), int(down or height)),
        associated=tuple(slide.associated_images),
        backend=backend,
        vendor=facts.get("vendor") or "unknown",
    )


def _pixel_size(facts: Mapping[str, Any]) -> PixelSize:
    x, y = parse_number(facts.get("mpp-x")), parse_number(facts.get("mpp-y"))
    if facts.get("vendor") in ("generic-tiff", None):
        # a plain TIFF: OME-XML says it best, and the resolution tags may be meant for a printer
        ome = from_ome(facts.get("comment") or "")
        return ome or (believable(x, y) if x and y else None)
    return (x, y) if x and y else None


def _colour(text: str) -> tuple[int, int, int]:
    value = int(text.lstrip("#"), 16)
    return value >> 16 & 255, value >> 8 & 255, value & 255


def _brief(error: Exception, path: str) -> str:
    return f"'{str(error).replace(path, Path(path).name)}'"
