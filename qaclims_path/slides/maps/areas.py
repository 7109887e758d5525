"""How much of each class there is on a slide, counted in the full map."""

from collections.abc import Sequence
from dataclasses import dataclass

from qaclims_path.slides.maps.label_tiff import Label
from qaclims_path.slides.maps.write import SlideMap


@dataclass(frozen=True)
class AreaRow:
    """How much of one class there is on one slide.

    Attributes:
        slide: Name of the slide.
        class_name: Name of the class.
        pixels: Pixels of the map.
        area_mm2: Square millimetres.
        share: Of all listed classes of the slide, 0..1; NaN where there are none.
    """

    slide: str
    class_name: str
    pixels: int
    area_mm2: float
    share: float


def areas(slide: str, made: SlideMap, labels: Sequence[Label]) -> list[AreaRow]:
    """A row for every class, absent ones included."""
    counts = {label.name: int(made.counts[label.code]) for label in labels}
    total = sum(counts.values())
    unit = made.mpp**2 / 1e6
    return [AreaRow(slide, name, n, n * unit, n / total if total else float("nan")) for name, n in counts.items()]
