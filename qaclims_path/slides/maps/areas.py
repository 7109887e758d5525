"""The area of each class on a slide, counted in the full map, and texts for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qaclims_path.slides.maps.label_tiff import Label

if TYPE_CHECKING:
    from qaclims_path.slides.maps.write import SlideMap


@dataclass(frozen=True)
class AreaRow:
    """The area of one class on one slide.

    Attributes:
        slide: Name of the slide.
        class_name: Name of the class.
        pixels: Number of map pixels.
        area_mm2: Area in square millimetres.
        share: Share of the area of all listed classes on the slide, 0..1; NaN if that is zero.
    """

    slide: str
    class_name: str
    pixels: int
    area_mm2: float
    share: float


def areas(slide: str, slide_map: "SlideMap", labels: Sequence[Label]) -> list[AreaRow]:
    """Count the area of every class, including absent ones."""
    counts = {label.name: int(slide_map.counts[label.code]) for label in labels}
    total = sum(counts.values())
    pixel_mm2 = slide_map.mpp**2 / 1e6
    return [AreaRow(slide, name, n, n * pixel_mm2, n / total if total else float("nan")) for name, n in counts.items()]
