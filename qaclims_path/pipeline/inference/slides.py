"""Segment one slide: class map, confidence, outlines and overlay; a killed run continues inside the slide."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from qaclims_path.engine.guards import memory_watched
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.images import write_image
from qaclims_path.pipeline.inference.inputs import DOUBT, OVERLAY, SegmentTask
from qaclims_path.pipeline.inference.model import LEAST_SIDE, OUTSIDE, SegmentModel
from qaclims_path.slides.cohort.state import Keep, SlideState, attempt, read_state
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.maps.export import write_regions
from qaclims_path.slides.maps.overlay import Captions, draw_confidence, draw_overlay
from qaclims_path.slides.maps.stitch import Blend
from qaclims_path.slides.maps.write import SlideMap, segment_slide
from qaclims_path.slides.prefetch import prefetched
from qaclims_path.slides.reader import Slide, open_slide
from qaclims_path.slides.tissue import TissueMask, tissue_mask
from qaclims_path.types import TileGrid

TISSUE_UM = 48.0  # the tissue mask has pixels of at most a third of this
OVERVIEW, QUALITY = 1600, 90  # pixels of the overlay's longer side, and of its JPEG
LESS = "Lower --batch or --size; finished results are kept."
WRITTEN = "_classes.ome.tiff", "_confidence.ome.tiff", ".geojson", OVERLAY, DOUBT  # behind the slide's name
NO_TILES = "No tile holds enough tissue."


def process(task: SegmentTask, model: SegmentModel, batch: int) -> SlideState:
    """Segment a slide and record its state; an error is in the state that is returned.

    Raises:
        OutOfSpace: The disk is full.
    """
    before, content = read_state(task.out, task.name), task.content()
    same = before is not None and before.fingerprint == task.fingerprint and before.result.get("content") == content
    finished = before.result.get("map") if before is not None and same else None

    def work(keep: Keep) -> dict[str, Any]:
        def keep_map(drawn: dict[str, Any]) -> None:
            keep({"content": content, "map": drawn})

        with memory_watched(LESS, "it"):
            return {**segment_one(task, model, batch, finished=finished, keep=keep_map), "content": content}

    kept = {"content": content, "map": finished} if finished else None
    writes = [task.stem.with_name(f"{task.name}{ending}") for ending in WRITTEN]
    return attempt(task.out, task.name, task.fingerprint, work, writes=writes, kept=kept)


def segment_one(
    task: SegmentTask,
    model: SegmentModel,
    batch: int,
    *,
    finished: dict[str, Any] | None = None,
    keep: Keep = lambda _: None,
) -> dict[str, Any]:
    """Segment one slide into `slides/`.

    Args:
        task: The slide.
        model: The segmenter.
        batch: Number of tiles in a batch.
        finished: Facts about a map that an earlier run has written.
        keep: Is given the facts about the map when it is written.

    Returns:
        Facts for the table.
    """
    opened, given = _opened(task, model, batch)
    with opened as slide:
        mask = tissue_mask(slide, task.tissue, tile_um=TISSUE_UM)
        grid, factor = _tiles(slide, mask, model)
        same = finished if finished and finished.get("given_mpp") == given else None  # its tiles had the same size
        made = _map_from(same, task) or _map_of(task, slide, grid, model, factor, batch)
        keep({**_kept(made), "given_mpp": given})
        pictured = _draw(task, slide, made, model)
        notes = (
            mask.note,
            model.about_enlarged(max(slide.mpp)) if factor != 1 else "",
            "" if len(grid) or mask.note else NO_TILES,
        )
        return {
            "mpp": math.sqrt(slide.mpp[0] * slide.mpp[1]),
            "given_mpp": given,
            "map_mpp": made.mpp,
            "tiles": len(grid),
            "counts": [int(made.counts[code]) for code in range(len(model.channels))],
            "notes": [note for note in notes if note],
            **pictured,
        }


def _opened(task: SegmentTask, model: SegmentModel, batch: int) -> tuple[Slide, float | None]:
    """Open a slide with prefetching; also returns the pixel size that the user gave, where nothing else states it."""
    backend, device = model.options.backend, model.device.type
    threads = 1 if device == "cpu" else threads_beside(device)  # one is faster than any network on a CPU
    slide = open_slide(task.entry.path, backend=backend, mpp=task.entry.mpp)
    if slide.info.mpp is not None or task.slide_mpp is None:
        return prefetched(slide, batch, threads), None
    slide.close()
    slide = open_slide(task.entry.path, backend=backend, mpp=task.slide_mpp)
    return prefetched(slide, batch, threads), task.slide_mpp


def _tiles(slide: Slide, mask: TissueMask, model: SegmentModel) -> tuple[TileGrid, float]:
    """Return the grid of the tiles to predict, and the factor by which they are enlarged."""
    mpp, factor = model.working_size(slide.mpp)
    options = model.options
    side = max(LEAST_SIDE, round(options.size / factor))
    grid = make_grid(
        slide.info,
        size=side,
        mpp=mpp,
        overlap=options.overlap,
        mask=mask,
        min_tissue=options.min_tissue,
        pad=True,
    )
    return grid, factor


def _map_of(
    task: SegmentTask, slide: Slide, grid: TileGrid, model: SegmentModel, factor: float, batch: int
) -> SlideMap:
    palette = model.palette()
    return segment_slide(
        slide,
        grid,
        model.of_tiles(factor),
        Blend(len(palette), outside=OUTSIDE, batch=batch),
        task.stem,
        labels=palette,
        confidence=model.options.confidence,
        identity=f"{model.identity()} {model.options.flip} {model.hides_glass} {factor:.6g} {task.content()}",
        notice=model.warning,
    )


def _kept(made: SlideMap) -> dict[str, Any]:
    """Return facts about a written map, as JSON values."""
    return {
        "size": [made.width, made.height],
        "mpp": made.mpp,
        "scale": list(made.scale),
        "counts": made.counts.tolist(),
        "confidence": made.confidence is not None,
    }


def _map_from(kept: dict[str, Any] | None, task: SegmentTask) -> SlideMap | None:
    """Return the map that an earlier run wrote, where its files still exist."""
    if kept is None:
        return None
    sure = task.stem.with_name(f"{task.name}_confidence.ome.tiff") if kept["confidence"] else None
    if not task.result.is_file() or (sure is not None and not sure.is_file()):
        return None
    (width, height), (across, down) = kept["size"], kept["scale"]
    counts = np.array(kept["counts"], np.int64)
    return SlideMap(task.result, sure, width, height, kept["mpp"], (across, down), counts)


def _draw(task: SegmentTask, slide: Slide, made: SlideMap, model: SegmentModel) -> dict[str, Any]:
    """Write outlines for QuPath, with the class names of tables, and pictures, with display names.

    Returns:
        The rows of the pictures that are the slide, and the mean confidence of its labels.
    """
    labels, options = model.labels(background=False), model.options
    outlines = task.stem.with_name(f"{task.name}.geojson")
    least, notice = options.least_um2, model.warning
    write_regions(outlines, made, labels, tolerance_um=options.outline_um, min_area_um2=least, notice=notice)
    shown = [replace(label, name=model.channels[label.code].display) for label in labels]
    captions = Captions(task.name, model.title, notice.partition(".")[0])
    thumbnail, mean = slide.thumbnail(OVERVIEW), None
    drawn = draw_overlay(thumbnail, made, shown, captions)
    write_image(task.stem.with_name(f"{task.name}{OVERLAY}"), drawn.pixels, quality=QUALITY)
    if made.confidence is not None:
        doubt, mean = draw_confidence(thumbnail, made, shown, captions)
        write_image(task.stem.with_name(f"{task.name}{DOUBT}"), doubt.pixels, quality=QUALITY)
    return {"rows": list(drawn.rows), "confidence": None if mean is None else round(mean, 4)}
