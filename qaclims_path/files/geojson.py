"""Read the annotations that QuPath exports: GeoJSON features with a classification and its colour.

Coordinates stay as they are in the file (pixels of the full-resolution slide, x to the right and y down).
"""

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.errors import BadFile

MAX_BYTES = 1_000_000_000
MAX_COORDINATE = 1e8  # pixels; the largest slides have a few hundred thousand
DEPTH = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated object.

    Attributes:
        geometry: A GeoJSON geometry with checked coordinates, as `shapely.geometry.shape` takes it.
        name: Name of its classification, or None.
        color: Colour of its classification, where the file states it.
    """

    geometry: dict[str, Any]
    name: str | None = None
    color: Color | None = None


def read_geojson(path: Path) -> list[Annotation]:
    """Read a FeatureCollection, a list of features or a single feature; `.gz` is unpacked.

    Features without a geometry are left out.

    Examples:
        >>> read_geojson(Path("slide.geojson"))[0].name  # doctest: +SKIP
        'Tumor'
    """
    found = []
    for number, feature in enumerate(_features(path, _parsed(path)), start=1):
        where = f"{path}, feature {number}"
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise BadFile(f"{where} is not a GeoJSON Feature. Export the annotations from QuPath as GeoJSON.")
        if feature.get("geometry") is not None:
            name, color = _classification(feature, where)
            found.append(Annotation(_geometry(feature["geometry"], where), name, color))
    return found


def classifications(annotations: list[Annotation]) -> dict[str, Color | None]:
    """Classification names in the order of their first appearance, each with the first colour stated for it.

    Examples:
        >>> classifications([Annotation({}, "Tumor", (200, 0, 0)), Annotation({})])
        {'Tumor': (200, 0, 0)}
    """
    colors: dict[str, Color | None] = {}
    for annotation in annotations:
        if annotation.name is not None:
            colors[annotation.name] = colors.get(annotation.name) or annotation.color
    return colors


def _parsed(path: Path) -> Any:  # noqa: ANN401 - whatever JSON can hold
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise BadFile(
                f"{path} is larger than {MAX_BYTES // 1_000_000} MB. Export the annotations without the detected cells."
            )
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not valid JSON: {error}. Export it again from QuPath as GeoJSON.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _features(path: Path, tree: object) -> list[Any]:
    if isinstance(tree, list):
        return tree
    if isinstance(tree, dict) and tree.get("type") == "Feature":
        return [tree]
    if isinstance(tree, dict) and tree.get("type") == "FeatureCollection" and isinstance(tree.get("features"), list):
        return list(tree["features"])
    kind = f"a GeoJSON {tree['type']}" if isinstance(tree, dict) and "type" in tree else "other JSON"
    raise BadFile(f"{path} holds {kind}, not a FeatureCollection, a list of features or a Feature.")


def _geometry(geometry: object, where: str) -> dict[str, Any]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or not isinstance(kind, str) or kind not in DEPTH:
        raise BadFile(f"{where} has the geometry '{kind}'. Known: {', '.join(DEPTH)}.")
    _check_coordinates(geometry.get("coordinates"), DEPTH[kind], where)
    return {"type": kind, "coordinates": geometry["coordinates"]}


def _check_coordinates(coordinates: object, depth: int, where: str) -> None:
    """Coordinates are lists of (x, y) pairs, nested `depth` deep; the innermost list is checked in one piece."""
    if depth > 1:
        if not isinstance(coordinates, list) or not coordinates:
            raise BadFile(f"{where} has no coordinates where its geometry needs them.")
        for part in coordinates:
            _check_coordinates(part, depth - 1, where)
        return
    try:
        points = np.atleast_2d(np.asarray(coordinates))
    except (ValueError, OverflowError):  # lists of different lengths
        points = np.empty((0, 0), object)
    if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] < 2 or points.dtype.kind not in "iuf":
        raise BadFile(f"{where} has coordinates that are not pairs of numbers.")
    if not (np.abs(points[:, :2]) <= MAX_COORDINATE).all():  # also false for NaN
        raise BadFile(f"{where} has coordinates that no slide has; they should be pixels of the full resolution.")


def _classification(feature: dict[str, Any], where: str) -> tuple[str | None, Color | None]:
    """Name and colour: QuPath writes `name` (several joined) or `names`, and `color` or the older `colorRGB`."""
    properties = feature.get("properties") or {}
    found = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(found, str) and found.lstrip().startswith("{"):  # tables of geometries write it as text
        try:
            found = json.loads(found)
        except ValueError as error:
            raise BadFile(f"{where} has a classification that is not valid JSON: {error}.") from error
    if isinstance(found, str) or found is None:
        return found or None, None
    if not isinstance(found, dict):
        raise BadFile(f"{where} has a classification that is neither a name nor a group with 'name' and 'color'.")
    names = found.get("names")
    name = ": ".join(str(part) for part in names) if isinstance(names, list) else found.get("name")
    if name is not None and not isinstance(name, str):
        raise BadFile(f"{where} has a classification whose name is not text.")
    return name or None, _color(found, where)


def _color(classification: dict[str, Any], where: str) -> Color | None:
    color, packed = classification.get("color"), classification.get("colorRGB")
    if isinstance(color, list) and len(color) >= 3 and all(type(v) is int and 0 <= v <= 255 for v in color[:3]):
        return color[0], color[1], color[2]
    if color is None and type(packed) is int:  # Java's signed 32 bits: alpha, red, green, blue
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    if color is None and packed is None:
        return None
    raise BadFile(f"{where} has a colour that is not [red, green, blue] with numbers from 0 to 255.")
