"""Facts about a slide, from its file."""

from dataclasses import dataclass, replace
from pathlib import Path

from qaclims_path.slides.reader import as_pair, open_slide
from qaclims_path.types import SlideInfo


@dataclass(frozen=True)
class LevelLine:
    """A level of the pyramid; `mpp` is its pixel size in micrometres (x, y), where that of the slide is known."""

    width: int
    height: int
    downsample: float
    mpp: tuple[float, float] | None


@dataclass(frozen=True)
class SlideReport:
    """All facts about a slide; `size_mm` is its width and height, where the pixel size is known."""

    slide: SlideInfo
    levels: tuple[LevelLine, ...]
    size_mm: tuple[float, float] | None


def slide_info(path: str | Path, *, backend: str = "auto", mpp: float | None = None) -> SlideReport:
    """Open a slide and collect its facts.

    Args:
        path: A file, a DICOM folder, or an address.
        backend: Reader that opens it.
        mpp: Pixel size in micrometres, for a slide that does not state it.

    Examples:
        >>> slide_info("case-1.svs").slide.mpp  # doctest: +SKIP
        (0.252, 0.252)
    """
    with open_slide(path, backend=backend) as slide:
        info = slide.info
    if info.mpp is None and mpp is not None:
        info = replace(info, mpp=as_pair(mpp))
    size = info.mpp
    levels = tuple(
        LevelLine(
            level.width,
            level.height,
            level.downsample,
            None if size is None else (size[0] * level.downsample, size[1] * level.downsample),
        )
        for level in info.levels
    )
    area = None if size is None else (info.width * size[0] / 1000, info.height * size[1] / 1000)
    return SlideReport(info, levels, area)
