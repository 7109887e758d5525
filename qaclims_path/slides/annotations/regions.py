"""Annotated regions of a slide: read them from QuPath's GeoJSON, check them, and measure the share of every tile.

Coordinates are level 0 pixels. Overlapping regions of one class count once; those of different classes both count.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.geojson import Annotation, read_geojson
from qaclims_path.files.numbers import area_text
from qaclims_path.registry import suggest
from qaclims_path.types import SlideInfo, TileGrid

if TYPE_CHECKING:
    from qaclims_path.compute.coverage import Ring

OVERLAP = 1e-3  # share of the drawn area, below which an overlap is a neighbouring outline that was not quite met
OVERHANG = 0.01  # share of the slide's side: QuPath lets users draw slightly beyond the slide


@dataclass(frozen=True)
class SlideRegions:
    """The annotated area of each class.

    Attributes:
        classes: Class names.
        shapes: One valid polygon or multipolygon, possibly empty, per class.
        notes: Sentences for the summary: repairs, omissions, odd coordinates.
    """

    classes: tuple[str, ...]
    shapes: tuple[Any, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def smallest_first(self) -> tuple[int, ...]:
        """Class indices by ascending area."""
        return tuple(int(k) for k in np.argsort(shapely.area(self.shapes), kind="stable"))

    @cached_property
    def union(self) -> Any:  # noqa: ANN401 - a shapely geometry
        """The area on which anything is drawn."""
        return shapely.union_all(self.shapes)

    @cached_property
    def polygons(self) -> tuple[NDArray[np.object_], NDArray[np.int64], shapely.STRtree]:
        """All polygons (prepared), the class index of each, and a spatial index of them."""
        polygons, classes = shapely.get_parts(self.shapes, return_index=True)
        shapely.prepare(polygons)
        return polygons, classes, shapely.STRtree(polygons)


def read_regions(path: Path, info: SlideInfo, classes: Sequence[str] | None = None) -> SlideRegions:
    """Read the annotated areas of a slide, class by class.

    Args:
        path: GeoJSON as QuPath exports it.
        info: Metadata of the slide.
        classes: Class names in order; None takes those of the file in order of appearance.

    Examples:
        >>> read_regions(Path("a.geojson"), slide.info, ["Tumor", "Stroma"]).notes  # doctest: +SKIP
        ('a.geojson: 1 region crosses itself and was repaired.',)
    """
    annotations = read_geojson(path)
    names = tuple(dict.fromkeys(a.name for a in annotations if a.name is not None))
    if classes is not None and names and not set(names) & set(classes):
        raise BadFile(f"{path} has no region of any requested class. {suggest(names[0], list(classes))}")
    requested = names if classes is None else tuple(classes)
    areas, repaired = _areas(path, annotations)
    _check_inside(path, areas, info)
    shapes = [shapely.union_all([a for a, b in zip(areas, annotations, strict=True) if b.name == n]) for n in requested]
    notes = [
        *_repair_note(path, repaired),
        *_omission_notes(path, areas, annotations, requested),
        *_scale_note(path, areas, info),
    ]
    found = SlideRegions(requested, tuple(shapes))
    return replace(found, notes=(*notes, *_overlap_notes(path, found, info)))


def read_roi(path: Path, info: SlideInfo) -> SlideRegions:
    """Read all regions of a GeoJSON as the single class 'roi', ignoring their classes."""
    annotations = read_geojson(path)
    areas, repaired = _areas(path, annotations)
    _check_inside(path, areas, info)
    union = shapely.union_all(areas)
    if union.is_empty:
        raise BadFile(f"{path} encloses no area. Draw polygons, not points or lines, around the regions of interest.")
    return SlideRegions(("roi",), (union,), (*_repair_note(path, repaired), *_scale_note(path, areas, info)))


def region_shares(regions: SlideRegions, grid: TileGrid) -> NDArray[np.float32]:
    """Measure the share of every tile that each class covers (N C), 0..1, exactly."""
    shares = np.zeros((len(grid), len(regions.classes)), np.float32)
    for c, shape in enumerate(regions.shapes):
        shares[:, c] = _tile_shares(shape, grid)
    return shares


def drawn_shares(regions: SlideRegions, grid: TileGrid) -> NDArray[np.float32]:
    """Measure the share of every tile that any class covers (N), 0..1, exactly."""
    return _tile_shares(regions.union, grid)


def _tile_shares(shape: Any, grid: TileGrid) -> NDArray[np.float32]:  # noqa: ANN401 - a shapely geometry
    columns, column = np.unique(grid.x, return_inverse=True)
    rows, row = np.unique(grid.y, return_inverse=True)
    return lattice_shares(shape, columns, rows, grid.width0, grid.height0)[row, column].astype(np.float32)


def lattice_shares(
    shape: Any,  # noqa: ANN401 - a shapely geometry
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    width0: int,
    height0: int,
) -> NDArray[np.float64]:
    """Measure the share of every tile of a lattice (rows, columns) that a shape covers; tiles may overlap.

    Args:
        shape: Polygon or multipolygon in level 0 pixels.
        columns: Left edges in level 0 pixels.
        rows: Top edges in level 0 pixels.
        width0: Width of a tile in level 0 pixels.
        height0: Height of a tile in level 0 pixels.
    """
    from qaclims_path.compute.coverage import covered_area  # compiled loops, which take a second to import

    if shape.is_empty or not len(columns) or not len(rows):
        return np.zeros((len(rows), len(columns)))
    xs = np.unique([columns, columns + width0]).astype(np.float64)
    ys = np.unique([rows, rows + height0]).astype(np.float64)
    integral = np.zeros((len(ys), len(xs)))
    integral[1:, 1:] = covered_area(rings(shape), xs, ys).cumsum(axis=0).cumsum(axis=1)
    left, right = np.searchsorted(xs, columns), np.searchsorted(xs, columns + width0)
    top, bottom = np.searchsorted(ys, rows)[:, None], np.searchsorted(ys, rows + height0)[:, None]
    area = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    shares: NDArray[np.float64] = np.clip(area / (width0 * height0), 0, 1)
    return shares


def rings(shape: Any) -> Iterator["tuple[Ring, list[Ring]]"]:  # noqa: ANN401 - a shapely geometry
    """Yield outer ring and holes of every polygon of a shape, each as points (P 2)."""
    for polygon in shapely.get_parts(shape):
        yield shapely.get_coordinates(polygon.exterior), [shapely.get_coordinates(hole) for hole in polygon.interiors]


def _areas(path: Path, annotations: Iterable[Annotation]) -> tuple[list[Any], int]:
    """Return the valid area of every annotation (empty for points and lines), and the number of repaired ones."""
    areas, repaired = [], 0
    for number, annotation in enumerate(annotations, start=1):
        try:
            shape = shapely.force_2d(shapely.geometry.shape(annotation.geometry))
        except (ValueError, shapely.errors.ShapelyError) as error:
            raise BadFile(f"{path}, region {number} is not a polygon: {error}. Draw it again in QuPath.") from error
        if shapely.get_dimensions(shape) == 2 and not shape.is_valid:
            repaired += 1
            shape = shapely.make_valid(shape)
        parts = shapely.get_parts(shapely.get_parts(shape))  # collections may hold multipolygons
        areas.append(shapely.union_all(parts[shapely.get_dimensions(parts) == 2]))
    return areas, repaired


def _check_inside(path: Path, areas: list[Any], info: SlideInfo) -> None:
    for number, area in enumerate(areas, start=1):
        if area.is_empty:
            continue
        left, top, right, bottom = area.bounds
        over_x, over_y = OVERHANG * info.width + 1, OVERHANG * info.height + 1
        if left < -over_x or top < -over_y or right > info.width + over_x or bottom > info.height + over_y:
            raise BadFile(
                f"{path}, region {number} lies at x {left:.0f} to {right:.0f} and y {top:.0f} to {bottom:.0f}, but "
                f"{Path(info.path).name} has {info.width} x {info.height} pixels. Coordinates must be pixels of its "
                "full resolution, from the upper left corner. The file may belong to another slide."
            )


def _scale_note(path: Path, areas: list[Any], info: SlideInfo) -> list[str]:
    """A note if the coordinates seem to be micrometres or pixels of a coarser level: they just fill a smaller slide."""
    bounds = [area.bounds for area in areas if not area.is_empty]
    if not bounds:
        return []
    right, bottom = max(b[2] for b in bounds), max(b[3] for b in bounds)
    sizes = {f"pixels of level {n}": (level.width, level.height) for n, level in enumerate(info.levels) if n}
    if info.mpp is not None:
        sizes["micrometres"] = (info.width * info.mpp[0], info.height * info.mpp[1])  # type: ignore[assignment]
    for unit, (width, height) in sizes.items():
        smaller = width < 0.6 * info.width and height < 0.6 * info.height
        if smaller and 0.8 * width < right <= 1.01 * width and 0.8 * height < bottom <= 1.01 * height:
            return [f"{path.name}: all regions lie in the upper left part; they look like {unit}, not full resolution."]
    return []


def _overlap_notes(path: Path, found: SlideRegions, info: SlideInfo) -> list[str]:
    """Return a note for every two classes that are drawn over each other."""
    total = shapely.area(found.shapes).sum()
    if total - found.union.area <= OVERLAP * total:
        return []
    notes = []
    for one, other in combinations(range(len(found.classes)), 2):
        both = shapely.intersection(found.shapes[one], found.shapes[other]).area
        if both > OVERLAP * min(found.shapes[one].area, found.shapes[other].area):
            small, large = sorted((one, other), key=found.smallest_first.index)
            notes.append(
                f"{path.name}: {_area(both, info)} are drawn both as {found.classes[one]} and as "
                f"{found.classes[other]}. Tiles there hold both; masks show {found.classes[small]} over "
                f"{found.classes[large]}, because less of it is drawn."
            )
    return notes


def _area(pixels: float, info: SlideInfo) -> str:
    return f"{pixels:.3g} pixels" if info.mpp is None else area_text(pixels * info.mpp[0] * info.mpp[1] / 1e6)


def _repair_note(path: Path, repaired: int) -> list[str]:
    if not repaired:
        return []
    return [f"{path.name}: {repaired} region{'s cross' if repaired > 1 else ' crosses'} itself and was repaired."]


def _omission_notes(
    path: Path, areas: list[Any], annotations: list[Annotation], requested: tuple[str, ...]
) -> list[str]:
    """Return notes on annotations that do not count: points and lines, regions without a class or of other classes."""
    flat = sum(area.is_empty for area in areas)
    names = [a.name for a, area in zip(annotations, areas, strict=True) if not area.is_empty]
    unnamed, other = names.count(None), sorted({n for n in names if n is not None} - set(requested))
    notes = []
    if flat:
        notes.append(f"{path.name}: {flat} points or lines enclose no area and were left out.")
    if unnamed:
        notes.append(f"{path.name}: {unnamed} regions without a class were left out.")
    if other:
        notes.append(f"{path.name}: regions of {', '.join(other)} were left out; these classes were not requested.")
    return notes
