"""Segment slides and images: class maps, outlines, pictures, and one table and one page of the cohort.

The folder holds `cohort.html` (a page to look at), `cohort.csv` (a row per slide and image) and `segmentation.json`
(model and options); per slide `slides/<slide>_classes.ome.tiff`, `slides/<slide>_confidence.ome.tiff`,
`slides/<slide>.geojson`, `slides/<slide>_overlay.jpg` and `slides/<slide>_confidence.jpg`; per image
`labels/<image>.png` and `confidence/<image>.png`; and `state/`.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from qaclims_path.data.phantoms.painted import is_painted
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.processes import end_with_parent
from qaclims_path.files.shards import RUN_LOCK
from qaclims_path.models.segmenters.crf import NONE
from qaclims_path.models.segmenters.spec import SegmenterSpec, find_segmenter, read_spec
from qaclims_path.pipeline.inference.cohort import COHORT, CohortRow, SegmentReport, notes_on, row_of, write_cohort
from qaclims_path.pipeline.inference.inputs import SegmentInputs, SegmentTask, collect
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions, check_folder
from qaclims_path.pipeline.inference.page import PAGE, write_page
from qaclims_path.pipeline.inference.warnings import warnings_about
from qaclims_path.slides.cohort.state import SlideState
from qaclims_path.slides.tissue import check_tissue

if TYPE_CHECKING:
    from qaclims_path.pipeline.inference.model import SegmentModel

BATCH = {"cpu": 4, "cuda": 16}  # tiles of 512 pixels; a CPU is not faster with more
REFRESH, SHARE = 120, 20  # seconds from one page of a run that is not done to the next, or 20 times its own


def segment(
    model: str | Path,
    inputs: SegmentInputs,
    out: Path,
    options: SegmentOptions | None = None,
    work: ComputeOptions | None = None,
) -> SegmentReport:
    """Segment slides and images into a folder; results of an earlier run with the same model and options are kept.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub.
        inputs: The slides and images.
        out: The folder.
        options: Everything else that affects the maps; the defaults when None.
        work: Device, batch and shard; everything on the first GPU, or the CPU, when None.

    Examples:
        >>> segment("runs/cam", SegmentInputs(("slides",)), Path("maps")).rows[0].percent("tumor")  # doctest: +SKIP
        31.4
    """
    options, work, out = options or SegmentOptions(), work or ComputeOptions(), out.absolute()
    check_tissue(inputs.tissue)
    tasks, skipped = collect(inputs, out, options)
    _check_crf(options, tasks)
    spec = read_spec(find_segmenter(model))
    if spec.warning and not work.yes_demo:
        _check_painted(tasks, model, spec)
    # wrong inputs are refused before torch is imported, which takes seconds
    from qaclims_path.compute.devices import device_of
    from qaclims_path.pipeline.inference.model import SegmentModel

    devices = [str(device_of(name.strip())) for name in work.device.split(",")]
    segmenter = SegmentModel(model, options, devices[0])
    if segmenter.mpp is None and any(task.kind == "slide" for task in tasks):
        segmenter.working_size((1.0, 1.0))  # raises the error for slides
    made_with = {
        "model": segmenter.identity(),
        "options": options.model_copy(
            update={"tissue": _tissue(inputs), "precision": segmenter.precision}
        ).model_dump(),
    }
    check_folder(out, made_with)
    warnings = warnings_about(segmenter, work)
    told = (*warnings, *notes_on(tasks, segmenter))

    def show() -> tuple[CohortRow, ...]:
        return _shown(out, tasks, segmenter, warnings, told)

    if len(devices) > 1:
        worked, failed = _on_devices(devices, (str(model), inputs, out, options), work)
    else:
        worked, failed = _here(segmenter, tasks, made_with, work, show)
    rows = show()
    return SegmentReport(
        out=str(out),
        table=str(out / COHORT),
        page=str(out / PAGE),
        classes=tuple(channel.name for channel in segmenter.channels),
        mpp=segmenter.mpp,
        precision=segmenter.precision,
        device=", ".join(devices),
        worked=worked,
        failed=failed,
        complete=all(row.status != "waiting" for row in rows),
        rows=rows,
        skipped=skipped,
        notes=told,
    )


def _check_painted(tasks: Sequence[SegmentTask], model: str | Path, spec: SegmenterSpec) -> None:
    """Refuse slides and images that are not painted, for a demonstration model."""
    real = [task.entry.path for task in tasks if not is_painted(task.entry.path)]
    if real:
        raise UsageError(
            f"{model} is a demonstration model, which learnt from {spec.about['demonstration']}, and "
            f"{len(real)} of {len(tasks)} inputs are not painted, first {real[0]}: give a model that learnt from such "
            "tissue, or add --yes-demo to see what this one makes of it."
        )


def _check_crf(options: SegmentOptions, tasks: Sequence[SegmentTask]) -> None:
    slides = [task.name for task in tasks if task.kind == "slide"]
    if options.crf != NONE and slides:
        raise UsageError(
            f"A dense CRF refines whole images, but {slides[0]} is a slide, whose tiles are blended. "
            "Leave --crf out, or cut the slide with `qaclims slides tile --write png` and segment the tiles."
        )


def _tissue(inputs: SegmentInputs) -> str:
    return inputs.tissue if inputs.tissue in ("otsu", "none") else "file"


def _shown(
    out: Path, tasks: Sequence[SegmentTask], model: "SegmentModel", warnings: Sequence[str], told: Sequence[str]
) -> tuple[CohortRow, ...]:
    """Write table and page; write them again where another shard ended meanwhile, because that may have newer ones."""
    while True:
        rows = tuple(row_of(task, model) for task in tasks)
        write_cohort(out, rows, [channel.name for channel in model.channels], warnings)
        write_page(out, tasks, rows, model, told)
        if rows == tuple(row_of(task, model) for task in tasks):
            return rows


def _here(
    model: "SegmentModel",
    tasks: Sequence[SegmentTask],
    made_with: Mapping[str, object],
    work: ComputeOptions,
    show: Callable[[], object],
) -> tuple[int, int]:
    """Process this shard here, and show now and then what is done; return the number of its tasks and of failures."""
    out = tasks[0].out
    with work.shard.hold(out / RUN_LOCK):
        check_folder(out, made_with, write=True)  # again under the lock
        mine = work.shard.take(tasks)
        to_do = [task for task in mine if not task.is_done()]
        batch = work.batch or BATCH.get(model.device.type, BATCH["cpu"])
        failed = sum(state.status == "failed" for state in _showing(_states(to_do, model, batch), show))
    return len(mine), failed


def _showing(states: Iterator[SlideState], show: Callable[[], object]) -> Iterator[SlideState]:
    """Yield the states, and call `show` now and then, for a small share of the time."""
    due = time.monotonic() + REFRESH
    for state in states:
        yield state
        began = time.monotonic()
        if began >= due:
            show()
            due = time.monotonic() + max(REFRESH, SHARE * (time.monotonic() - began))


def _states(tasks: Sequence[SegmentTask], model: "SegmentModel", batch: int) -> Iterator[SlideState]:
    from qaclims_path.pipeline.inference.images import process_images
    from qaclims_path.pipeline.inference.slides import process

    images = [task for task in tasks if task.kind == "image"]
    if images:
        yield from process_images(images, model, batch)
    for task in tasks:
        if task.kind == "slide":
            yield process(task, model, batch)


def _on_devices(
    devices: Sequence[str], job: tuple[str, SegmentInputs, Path, SegmentOptions], work: ComputeOptions
) -> tuple[int, int]:
    """Divide this shard among devices, one process each."""
    parts = work.shard.split(len(devices))
    with ProcessPoolExecutor(len(devices), multiprocessing.get_context("spawn"), end_with_parent) as pool:
        running = [
            pool.submit(_part, *job, work.model_copy(update={"device": device, "shard": part}))
            for device, part in zip(devices, parts, strict=True)
        ]
        try:
            done = [each.result() for each in running]
        except BrokenProcessPool as error:
            raise QaclimsError(
                "A process was ended from outside, perhaps for lack of memory. Run the command again, maybe with a "
                "smaller --batch; finished results are kept."
            ) from error
    return sum(worked for worked, _ in done), sum(failed for _, failed in done)


def _part(
    model: str, inputs: SegmentInputs, out: Path, options: SegmentOptions, work: ComputeOptions
) -> tuple[int, int]:
    report = segment(model, inputs, out, options, work)
    return report.worked, report.failed
