"""Make QuPath region annotations from a coarse class map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.phantoms.layout import BACKGROUND

CLASS_NAMES = ("tumor", "stroma", "lymphocyte", "necrosis", "background")
CLASS_COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (153, 0, 255), (255, 255, 255))


def annotations(codes: NDArray[np.uint8], step: int, size: tuple[int, int]) -> dict[str, Any]:
    """Make a GeoJSON FeatureCollection of the tissue regions; background has no region.

    Args:
        codes: Coarse class map (H W).
        step: Slide pixels per pixel of the map.
        size: Width and height of the slide in pixels, to which regions are clipped.
    """
    features: list[dict[str, Any]] = []
    for code in range(BACKGROUND):
        for polygon in _polygons(codes == code, step, size):
            rings = [polygon.exterior, *polygon.interiors]
            coordinates = [[[int(x), int(y)] for x, y in ring.coords] for ring in rings]
            features.append(_feature(len(features), code, coordinates))
    return {"type": "FeatureCollection", "features": features}


def _feature(number: int, code: int, coordinates: list[list[list[int]]]) -> dict[str, Any]:
    return {
        "type": "Feature",
        # QuPath needs a UUID; a fixed one makes equal slides give equal bytes
        "id": f"00000000-0000-4000-8000-{number:012x}",
        "geometry": {"type": "Polygon", "coordinates": coordinates},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": CLASS_NAMES[code], "color": list(CLASS_COLORS[code])},
        },
    }


def _polygons(inside: NDArray[np.bool_], step: int, size: tuple[int, int]) -> list[Any]:
    """Outline a mask as simplified valid polygons in slide pixels, from top to bottom."""
    import shapely

    edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    if not len(rows):
        return []
    runs = shapely.box(
        starts * step, rows * step, np.minimum(ends * step, size[0]), np.minimum((rows + 1) * step, size[1])
    )
    smooth = shapely.simplify(shapely.union_all(runs), 0.75 * step, preserve_topology=True)
    polygons = [part for part in shapely.get_parts(smooth) if part.is_valid and part.area >= 16 * step * step]
    return sorted(polygons, key=lambda polygon: (polygon.bounds[1], polygon.bounds[0]))
