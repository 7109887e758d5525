"""Tile one slide: compose the MONAI transforms of `slides.transforms` and write their results to files."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qaclims_path.errors import QaclimsError
from qaclims_path.files.marks import NOTHING, Label
from qaclims_path.pipeline.tiling.annotations import understood
from qaclims_path.pipeline.tiling.masks import draw_masks, palette
from qaclims_path.pipeline.tiling.options import MASKS, TRAIN, TRAIN_MASKS, TileOptions
from qaclims_path.pipeline.tiling.write import Tell, encoded, write_masks, write_tiles
from qaclims_path.slides.annotations.regions import read_roi
from qaclims_path.slides.cohort.manifest import TileLabels, write_slide_manifest
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.slides.cohort.state import Keep, SlideState, attempt, slide_bytes
from qaclims_path.slides.geometry import best_level
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.problems import explain
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.tissue import TissueOptions, tissue_mask

if TYPE_CHECKING:
    from qaclims_path.slides.quality import Drawn

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
        whole: Label of the slide, where it is labelled as a whole.
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
    whole: Label = NOTHING
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

    @property
    def only_drawn(self) -> bool:
        """Whether only tiles on which something is drawn get masks."""
        return self.options.sparse or self.entry.split == TRAIN


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
    for kind in (MASKS, TRAIN_MASKS):  # the split may have changed from validation to training
        shutil.rmtree(task.out / kind / name, ignore_errors=True)
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
            chosen = labels.drawn if task.only_drawn else np.ones_like(labels.drawn)
            masks = draw_masks(slide, item["drawn"], grid, chosen, sparse=options.sparse) if len(grid) else iter(())
            colors = palette(task.colors, sparse=options.sparse)
            write_masks(masks_folder, masks, grid, colors, threads=task.threads, tell=tell)
        write_tile_shapes(shapes, name, grid, labels, task.colors)
        title = f"{name}: tiles of {scale_text(grid)}, {len(grid)} kept; green: tissue"
        drawn = _shown(task, item, labels)
        title += "; grey: nothing is known" if drawn and drawn.unknown.any() else ""
        save_quality(quality, draw_quality(slide, mask, grid, title, drawn))
    write_slide_manifest(manifest, task.entry, grid, labels)
    tell(len(grid), len(grid))
    found = understood(labels, item.get("drawn"), slide.info)
    counts = {"classes": {called: asdict(line) for called, line in found.items()}, "drawn": int(labels.drawn.sum())}
    none = "" if len(grid) or mask.note else "No tile holds enough tissue; see its quality picture."
    notes = [note for note in (mask.note, none, *item.get("notes", ())) if note]
    about = {"bytes": slide_bytes(task.entry.path), "given_mpp": given_mpp(task), "mpp": slide.mpp[0]}
    return {"tiles": len(grid), "notes": notes, **counts, **about}


def written(task: SlideTask) -> tuple[Path, Path, Path, Path, Path, Path]:
    """Return paths of a slide's manifest, shapes, quality picture, stain, tiles and masks."""
    out, name = task.out, task.name
    return (
        out / "slides" / f"{name}.csv",
        out / "geojson" / f"{name}.geojson",
        out / "quality" / f"{name}.jpg",
        out / "stain" / f"{name}.json",
        out / "tiles" / name,
        out / (TRAIN_MASKS if task.entry.split == TRAIN else MASKS) / name,
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
        options = task.options
        steps.append(RegionLabelsd("slide", task.classes, present_from=options.present_from, sparse=options.sparse))
    composed: Callable[[dict[str, Any]], dict[str, Any]] = Compose(steps)
    return composed


def _labels(task: SlideTask, item: dict[str, Any], count: int) -> TileLabels:
    if task.regions is not None and count:
        return TileLabels(task.classes, item["tiles"].present, item["shares"], item["tiles"].known)
    present, known = np.zeros((count, len(task.classes)), np.bool_), np.ones((count, len(task.classes)), np.bool_)
    present[:, list(task.whole.present)], known[:, list(task.whole.unknown)] = True, False
    return TileLabels(task.classes, present, known=known)


def _shown(task: SlideTask, item: dict[str, Any], labels: TileLabels) -> "Drawn | None":
    """Return the annotations for the quality picture, if there are any."""
    from qaclims_path.slides.quality import Drawn

    if "drawn" not in item:
        return None
    known = np.ones_like(labels.present) if labels.known is None else labels.known
    return Drawn(item["drawn"], task.colors, np.logical_not(known.any(axis=1)))
