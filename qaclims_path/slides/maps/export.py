"""Areas as QuPath reads them (0.5 and 0.6): GeoJSON in level 0 pixels, class, colour and measurements per object."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qaclims_path.files.atomic import atomic_path
from qaclims_path.slides.maps.label_tiff import Label, read_map
from qaclims_path.slides.maps.outlines import outlines
from qaclims_path.slides.maps.write import SlideMap

SPACE = uuid.UUID("5d0c7c1e-6a0b-5d7e-9a59-2f3b8f1f8a10")  # ours alone, so that equal objects have equal names
WORKING_PIXELS = 64_000_000  # outlines of larger maps are drawn from a coarser level


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        geometry: A valid shapely geometry in level 0 pixels.
        name: Its class, or None.
        color: The colour of the class: red, green, blue.
        measurements: Name with unit, and value.
    """

    geometry: Any
    name: str | None = None
    color: tuple[int, int, int] | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)


def write_geojson(
    path: Path,
    shapes: Iterable[Shape],
    *,
    kind: Literal["annotation", "detection"] = "annotation",
    locked: bool = False,
    seed: str = "",
) -> int:
    """Write a FeatureCollection, one object per line, and say how many there are.

    The same shapes give the same bytes: an object's UUID is made from `seed` and the object.

    Args:
        path: Ends in `.geojson`.
        shapes: The objects, which may come one by one.
        kind: Annotations can be edited in QuPath; thousands of detections are drawn faster.
        locked: Whether QuPath protects them from being moved.
        seed: Tells equal objects of different slides apart, such as the slide's name.

    Example:
        >>> write_geojson(Path("one.geojson"), [Shape(shapely.box(0, 0, 9, 9), "Tumor", (200, 0, 0))])  # doctest: +SKIP
        1
    """
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for count, shape in enumerate(shapes, start=1):
            feature = _feature(shape, kind, locked)
            text = json.dumps(feature, ensure_ascii=False, allow_nan=False)
            feature = {"type": "Feature", "id": str(uuid.uuid5(SPACE, f"{seed} {text}")), **feature}
            file.write(",\n" if count > 1 else "\n")
            json.dump(feature, file, ensure_ascii=False, allow_nan=False)
        file.write("\n]}\n")
    return count


def write_regions(
    path: Path,
    made: SlideMap,
    labels: Sequence[Label],
    *,
    tolerance_um: float = 1.0,
    min_area_um2: float = 100.0,
    max_pixels: int = WORKING_PIXELS,
) -> int:
    """Outline every class of a written map in one GeoJSON file, each area with its size, and say how many there are.

    Maps above `max_pixels` are outlined at the first coarser level below it, to bound memory; the area table is
    counted in the full map in any case.

    Args:
        path: Ends in `.geojson`.
        made: What `segment_slide` gave.
        labels: The classes to outline, in this order.
        tolerance_um: How far an outline may move when it is simplified.
        min_area_um2: Areas and holes that enclose less are left out.
        max_pixels: Largest map that is read at once.
    """
    codes, step = read_map(made.classes, max_pixels)
    scale = made.scale[0] * step, made.scale[1] * step
    names = {label.code: label for label in labels}
    found = outlines(
        codes, list(names), mpp=made.mpp * step, scale=scale, tolerance_um=tolerance_um, min_area_um2=min_area_um2
    )
    position = {code: i for i, code in enumerate(names)}
    found.sort(key=lambda area: position[area.code])

    def shapes() -> Iterator[Shape]:
        for area in found:
            label = names[area.code]
            yield Shape(area.polygon, label.name, label.color, {"Area um^2": round(area.area_um2, 3)})

    return write_geojson(path, shapes(), seed=made.classes.name)


def _feature(shape: Shape, kind: str, locked: bool) -> dict[str, Any]:  # noqa: FBT001 - private
    import shapely

    properties: dict[str, Any] = {"objectType": kind, "isLocked": locked}
    if shape.name is not None:
        properties["classification"] = {"name": shape.name}
        if shape.color is not None:
            properties["classification"]["color"] = list(shape.color)
    if shape.measurements:
        properties["measurements"] = dict(shape.measurements)
    oriented = shapely.orient_polygons(shape.geometry)
    geometry = shapely.geometry.mapping(oriented)
    return {
        "geometry": {"type": geometry["type"], "coordinates": _plain(geometry["coordinates"])},
        "properties": properties,
    }


def _plain(coordinates: Any) -> Any:  # noqa: ANN401 - as deep as the geometry
    """Hundredths of a pixel, and whole numbers without a fraction."""
    if isinstance(coordinates, float | int):
        rounded = round(coordinates, 2)
        return int(rounded) if rounded == int(rounded) else rounded
    return [_plain(part) for part in coordinates]
