"""Tile one slide: compose the MONAI transforms of `slides.transforms` and write their results to files."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import QaclimsError
from qaclims_path.pipeline.tiling.options import BACKGROUND, TileOptions
from qaclims_path.pipeline.tiling.write import Tell, encoded, write_masks, write_tiles
from qaclims_path.slides.annotations.masks import draw_regions
from qaclims_path.slides.annotations.regions import SlideRegions, read_roi
from qaclims_path.slides.cohort.manifest import TileLabels, write_slide_manifest
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.slides.cohort.state import Keep, SlideState, attempt, slide_bytes
from qaclims_path.slides.geometry import best_level, extent
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.problems import explain
from qaclims_path.slides.reader import Slide, open_slide
from qaclims_path.slides.tissue import TissueOptions, tissue_mask
from qaclims_path.types import TileGrid

SAMPLED = 4  # tiles encoded to estimate the size of all
ROW_BYTES = 400  # approximate size of a tile in the manifest and the GeoJSON
MASK_BYTES = 1200  # approximate size of a mask


@dataclass(frozen=True)
class SlideTask:
    """All that a process needs to tile one slide.

    Attributes:
        entry: The slide, with its split.
        out: Folder of the results.
        options: Options of all slides.
        fingerprint: Hash of everything that affects the result except the path.
        classes: Class names.
        colors: Class colours.
        regions: GeoJSON that labels its tiles, if any.
        present: Class indices of the whole slide, where it is labelled as a whole.
        roi: GeoJSON with its regions of interest, if any.
        tissue: `otsu`, `none`, or a mask.
        slide_mpp: Pixel size in micrometres, for a slide without one.
        problem: Reason why it cannot be tiled, if known in advance.
        threads: Threads that write tiles.
    """

    entry: SlideEntry
    out: Path
    options: TileOptions
    fingerprint: str
    classes: tuple[str, ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()
    regions: str | None = None
    present: tuple[int, ...] = ()
    roi: str | None = None
    tissue: str = "otsu"
    slide_mpp: float | None = None
    problem: str = ""
    threads: int = 1

    @property
    def name(self) -> str:
        """Name of the slide."""
        return self.entry.name

    @property
    def has_masks(self) -> bool:
        """Whether its tiles get masks."""
        return self.regions is not None and self.options.masked(self.entry.split)


@dataclass(frozen=True)
class SlidePlan:
    """Preview of the tiling of a slide.

    Attributes:
        level: Index of the level that is read.
        level_mpp: Pixel size of that level in micrometres.
        resampled: Factor by which its pixels are shrunk; 1 without resampling.
        lattice: Number of tiles before tissue and regions of interest are considered.
        tiles: Number of tiles that are kept.
        bytes: Expected size of the written files.
    """

    name: str
    path: str
    error: str = ""
    level: int = 0
    level_mpp: float = 0.0
    resampled: float = 1.0
    lattice: int = 0
    tiles: int = 0
    bytes: int = 0


def process(task: SlideTask, tell: Tell) -> SlideState:
    """Tile a slide and record its state; an error is in the state that is returned.

    Raises:
        OutOfSpace: The disk is full.
    """

    def work(_: Keep) -> dict[str, Any]:
        if not task.problem:
            return tile_slide(task, tell)
        with open_slide(task.entry.path, backend=task.options.backend):  # a damaged slide is the larger problem
            raise QaclimsError(task.problem)

    return attempt(task.out, task.name, task.fingerprint, work, writes=written(task))


def tile_slide(task: SlideTask, tell: Tell) -> dict[str, Any]:
    """Cut one slide; its manifest is written last, so that a slide with one is complete.

    Returns:
        Facts for the summary.
    """
    from qaclims_path.slides.quality import draw_quality, save_quality, scale_text, write_tile_shapes
    from qaclims_path.slides.stain import save_fit

    name, options = task.name, task.options
    manifest, shapes, quality, stain, tiles_folder, masks_folder = written(task)
    manifest.unlink(missing_ok=True)
    shutil.rmtree(masks_folder, ignore_errors=True)  # the split may have changed from validation to training
    item = find_tiles(task)
    with item["slide"] as slide:
        grid, mask = item["grid"], item["tissue"]
        if len(grid):
            item = _reading(task)(item)
        labels = _labels(task, item, len(grid))
        tiles = item.get("tiles")
        if tiles is not None and tiles.stain is not None:
            save_fit(stain, tiles.stain)
        if options.write != "none":
            stream = tiles.stream(slide, 0, len(grid)) if tiles is not None else iter(())
            write_tiles(tiles_folder, stream, grid, options.write, threads=task.threads, tell=tell)
        if task.has_masks:
            masks = _masks(slide, item["drawn"], grid) if len(grid) else iter(())
            write_masks(masks_folder, masks, grid, _palette(task), threads=task.threads, tell=tell)
        write_tile_shapes(shapes, name, grid, labels, task.colors)
        title = f"{name}: tiles of {scale_text(grid)}, {len(grid)} kept; green: tissue"
        save_quality(quality, draw_quality(slide, mask, grid, title))
    write_slide_manifest(manifest, task.entry, grid, labels)
    tell(len(grid), len(grid))
    counts = {called: int(labels.present[:, k].sum()) for k, called in enumerate(labels.classes)}
    none = "" if len(grid) or mask.note else "No tile holds enough tissue; see its quality picture."
    notes = [note for note in (mask.note, none, *item.get("notes", ())) if note]
    about = {"bytes": slide_bytes(task.entry.path), "given_mpp": given_mpp(task), "mpp": slide.mpp[0]}
    return {"tiles": len(grid), "present": counts, "notes": notes, **about}


def written(task: SlideTask) -> tuple[Path, Path, Path, Path, Path, Path]:
    """Return paths of a slide's manifest, shapes, quality picture, stain, tiles and masks."""
    out, name = task.out, task.name
    return (
        out / "slides" / f"{name}.csv",
        out / "geojson" / f"{name}.geojson",
        out / "quality" / f"{name}.jpg",
        out / "stain" / f"{name}.json",
        out / "tiles" / name,
        out / "masks" / name,
    )


def find_tiles(task: SlideTask) -> dict[str, Any]:
    """Open a slide and find its tissue and its grid, for the transforms of `_reading`."""
    options = task.options
    tissue = TissueOptions(pens=options.pens, blur=options.blur)
    slide = open_slide(task.entry.path, backend=options.backend, mpp=task.entry.mpp or given_mpp(task))
    mask = tissue_mask(slide, task.tissue, tile_um=options.mpp * options.size, options=tissue)
    roi = read_roi(Path(task.roi), slide.info) if task.roi is not None else None
    grid = make_grid(
        slide.info,
        size=options.size,
        mpp=options.mpp,
        stride=options.stride,
        mask=mask,
        min_tissue=options.min_tissue,
        roi=roi,
    )
    return {"slide": slide, "tissue": mask, "grid": grid, "regions": task.regions}


def given_mpp(task: SlideTask) -> float | None:
    """`slide_mpp`, where neither the slide list nor the slide states a pixel size."""
    if task.slide_mpp is None or task.entry.mpp is not None:
        return None
    with open_slide(task.entry.path, backend=task.options.backend) as slide:
        return task.slide_mpp if slide.info.mpp is None else None


def plan_slide(task: SlideTask) -> SlidePlan:
    """Plan the tiling of a slide; nothing is written."""
    if task.problem:
        return SlidePlan(task.name, task.entry.path, task.problem)
    try:
        item = find_tiles(task)
        with item["slide"] as slide:
            return _plan(task, slide, item["grid"])
    except Exception as error:  # becomes the reason in the plan
        return SlidePlan(task.name, task.entry.path, explain(error))


def _plan(task: SlideTask, slide: Any, grid: Any) -> SlidePlan:  # noqa: ANN401
    options = task.options
    step = slide.steps(options.mpp)
    level = best_level(slide.info.levels, step)
    downsample = slide.info.levels[level].downsample
    lattice = make_grid(slide.info, size=options.size, mpp=options.mpp, stride=options.stride)
    some = np.linspace(0, len(grid) - 1, min(SAMPLED, len(grid)) if options.write != "none" else 0).astype(int)
    pixels = (slide.read(grid.x[i], grid.y[i], grid.size, grid.size, grid.mpp) for i in some)
    sizes = [len(encoded(tile, options.write)) for tile in pixels]
    each = ROW_BYTES + task.has_masks * MASK_BYTES + (sum(sizes) // len(sizes) if sizes else 0)
    return SlidePlan(
        task.name,
        task.entry.path,
        level=level,
        level_mpp=round(slide.mpp[0] * downsample, 4),
        resampled=round(step[0] / downsample, 4),
        lattice=len(lattice),
        tiles=len(grid),
        bytes=each * len(grid),
    )


def _reading(task: SlideTask) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Transforms for a grid that has tiles: read, normalise, label."""
    from monai.transforms.compose import Compose  # slow; a run with nothing to do skips it

    from qaclims_path.slides.transforms import NormalizeStaind, ReadTilesd, RegionLabelsd

    steps: list[Any] = [ReadTilesd("slide")]
    if task.options.stain != "none":
        steps.append(NormalizeStaind("slide", task.options.stain, seed=task.options.seed))
    if task.regions is not None:
        steps.append(RegionLabelsd("slide", task.classes, present_from=task.options.present_from))
    composed: Callable[[dict[str, Any]], dict[str, Any]] = Compose(steps)
    return composed


def _labels(task: SlideTask, item: dict[str, Any], count: int) -> TileLabels:
    if task.regions is not None and count:
        return TileLabels(task.classes, item["tiles"].present, item["shares"])
    present = np.zeros((count, len(task.classes)), np.bool_)
    present[:, list(task.present)] = True
    return TileLabels(task.classes, present)


def _masks(slide: Slide, regions: SlideRegions, grid: TileGrid) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the number and the mask of every tile, at the pixels that are read."""
    size, step = (grid.size, grid.size), slide.steps(grid.mpp)
    for number, (x, y) in enumerate(zip(grid.x.tolist(), grid.y.tolist(), strict=True)):
        yield number, draw_regions(regions, *extent(slide.info.levels, x, y, size, step), grid.size)


def _palette(task: SlideTask) -> list[int]:
    """Flat palette of the codes of `draw_regions`."""
    return [channel for color in (BACKGROUND, *task.colors) for channel in color]
