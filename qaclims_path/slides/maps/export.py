"""Write GeoJSON for QuPath (0.5 and 0.6): objects in level 0 pixels with class, colour and measurements."""

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

UUID_NAMESPACE = uuid.UUID("5d0c7c1e-6a0b-5d7e-9a59-2f3b8f1f8a10")  # fixed, so that equal objects get equal UUIDs
MAX_OUTLINED_PIXELS = 64_000_000  # larger maps are outlined at a coarser level


@dataclass(frozen=True)
class Shape:
    """One object of a GeoJSON file.

    Attributes:
        geometry: A valid shapely geometry in level 0 pixels.
        name: Class name, or None.
        color: Colour of the class: red, green, blue.
        measurements: Values by name with unit.
        metadata: Texts by name.
    """

    geometry: Any
    name: str | None = None
    color: tuple[int, int, int] | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def write_geojson(
    path: Path,
    shapes: Iterable[Shape],
    *,
    kind: Literal["annotation", "detection"] = "annotation",
    locked: bool = False,
    seed: str = "",
) -> int:
    """Write a FeatureCollection, one object per line, and return the number of objects.

    The same shapes give the same bytes: the UUID of an object is a hash of `seed` and the object.

    Args:
        path: File, ending in `.geojson`.
        shapes: The objects; may be a generator.
        kind: Annotations can be edited in QuPath; thousands of detections are drawn faster.
        locked: Whether QuPath protects the objects from being moved.
        seed: Text that differs between slides, such as the slide's name, so that equal objects get different UUIDs.

    Examples:
        >>> write_geojson(Path("one.geojson"), [Shape(shapely.box(0, 0, 9, 9), "Tumor", (200, 0, 0))])  # doctest: +SKIP
        1
    """
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for count, shape in enumerate(shapes, start=1):
            feature = _feature(shape, kind, locked)
            text = json.dumps(feature, ensure_ascii=False, allow_nan=False)
            feature = {"type": "Feature", "id": str(uuid.uuid5(UUID_NAMESPACE, f"{seed} {text}")), **feature}
            file.write(",\n" if count > 1 else "\n")
            json.dump(feature, file, ensure_ascii=False, allow_nan=False)
        file.write("\n]}\n")
    return count


def write_regions(
    path: Path,
    slide_map: SlideMap,
    labels: Sequence[Label],
    *,
    tolerance_um: float = 1.0,
    min_area_um2: float = 100.0,
    max_pixels: int = MAX_OUTLINED_PIXELS,
    notice: str = "",
) -> int:
    """Outline the connected areas of every class of a written map, and return the number of areas.

    To bound memory, a map with more than `max_pixels` is outlined at the finest level with fewer pixels. The area table
    does not depend on that: it is counted in the full map.

    Args:
        path: GeoJSON file to write, ending in `.geojson`.
        slide_map: The map that `segment_slide` wrote.
        labels: Classes to outline, in this order.
        tolerance_um: Largest distance that simplification may move an outline.
        min_area_um2: Smaller areas are left out, and smaller holes filled.
        max_pixels: Largest number of pixels to outline.
        notice: Text for the readers of every area; may be empty.
    """
    codes, step = read_map(slide_map.classes, max_pixels)
    mpp, scale = slide_map.mpp * step, (slide_map.scale[0] * step, slide_map.scale[1] * step)
    by_code = {label.code: label for label in labels}
    areas = outlines(codes, list(by_code), mpp=mpp, scale=scale, tolerance_um=tolerance_um, min_area_um2=min_area_um2)
    told = {"notice": notice} if notice else {}
    position = {code: i for i, code in enumerate(by_code)}
    areas.sort(key=lambda area: position[area.code])

    def shapes() -> Iterator[Shape]:
        for area in areas:
            label = by_code[area.code]
            yield Shape(area.polygon, label.name, label.color, {"Area um^2": round(area.area_um2, 3)}, told)

    return write_geojson(path, shapes(), seed=slide_map.classes.name)


def _feature(shape: Shape, kind: str, locked: bool) -> dict[str, Any]:  # noqa: FBT001 - private
    import shapely

    properties: dict[str, Any] = {"objectType": kind, "isLocked": locked}
    if shape.name is not None:
        properties["classification"] = {"name": shape.name}
        if shape.color is not None:
            properties["classification"]["color"] = list(shape.color)
    if shape.measurements:
        properties["measurements"] = dict(shape.measurements)
    if shape.metadata:
        properties["metadata"] = dict(shape.metadata)
    oriented = shapely.orient_polygons(shape.geometry)
    geometry = shapely.geometry.mapping(oriented)
    return {
        "geometry": {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"])},
        "properties": properties,
    }


def _rounded(coordinates: Any) -> Any:  # noqa: ANN401 - nested as deep as the geometry
    """Round to hundredths of a pixel, and write integers without a fraction."""
    if isinstance(coordinates, float | int):
        rounded = round(coordinates, 2)
        return int(rounded) if rounded == int(rounded) else rounded
    return [_rounded(part) for part in coordinates]
