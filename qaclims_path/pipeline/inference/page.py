"""Write the page of a segmentation from the results of its slides and images; it is bounded and reproducible."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from qaclims_path.files.atomic import write_text
from qaclims_path.files.numbers import ON_PAGES, area_text
from qaclims_path.files.tables import cell
from qaclims_path.pipeline.inference.cohort import COHORT, CohortRow, columns_of, line_of
from qaclims_path.pipeline.inference.inputs import CONFIDENCE, DOUBT, LABELS, OVERLAY, SegmentTask
from qaclims_path.pipeline.inference.pictures import image_pictures, slide_pictures
from qaclims_path.report.cohort import CohortPage, Failed, cohort_page
from qaclims_path.report.slides import Picture, Share, SlideShown, slide_table

if TYPE_CHECKING:
    from qaclims_path.pipeline.inference.model import SegmentModel

PAGE = "cohort.html"
MOST_PICTURED, MOST_ROWS, MOST_FAILED = 100, 1000, 100
SIDE = 320  # pixels of a picture's longer side
FILES = (("overlay", OVERLAY), ("confidence", DOUBT), ("outlines for QuPath", ".geojson"), ("map", "_classes.ome.tiff"))
IMAGE_FILES = (("labels", LABELS), ("confidence", CONFIDENCE))


def write_page(
    out: Path, tasks: Sequence[SegmentTask], rows: Sequence[CohortRow], model: "SegmentModel", warnings: Sequence[str]
) -> Path:
    """Write the page: pictures and shares of the first slides and images, all failures, and the table.

    Args:
        out: Folder of the results.
        tasks: The slides and images.
        rows: Their results, in the same order.
        model: The segmenter.
        warnings: Warnings about the model, as sentences.
    """
    names = [channel.name for channel in model.channels]
    lines = [{key: cell(line.get(key)) for key in columns_of(names)} for line in (line_of(row, names) for row in rows)]
    done = [(task, row) for task, row in zip(tasks, rows, strict=True) if row.status == "done"]
    failed = [Failed(row.name, row.error) for row in rows if row.status == "failed"]
    page = CohortPage(
        title="Segmented slides",
        state=_state(rows),
        facts=tuple(_facts(model)),
        warnings=tuple(warnings),
        legend=tuple((channel.display, channel.color) for channel in model.channels),
        slides=tuple(_shown(task, row, model) for task, row in done[:MOST_PICTURED]),
        unpictured=max(0, len(done) - MOST_PICTURED),
        failed=tuple(failed[:MOST_FAILED]),
        more_failed=max(0, len(failed) - MOST_FAILED),
        table=slide_table(COHORT, lines, {channel.name: channel.display for channel in model.channels}, MOST_ROWS),
    )
    path = out / PAGE
    write_text(path, cohort_page(page))
    return path


def _state(rows: Sequence[CohortRow]) -> str:
    counts = Counter(row.status for row in rows)
    said = [
        f"{counts[status]} {word}" for status, word in (("failed", "failed"), ("waiting", "waiting")) if counts[status]
    ]
    return ", ".join([f"{counts['done']} of {len(rows)} done", *said])


def _facts(model: "SegmentModel") -> Iterator[tuple[str, str]]:
    yield "model", model.title
    if model.mpp is not None:
        yield "µm per pixel", f"{model.mpp:g}"
    for key in ("organ", "stain", "protocol"):
        if known := str(model.spec.about.get(key) or ""):
            yield f"learnt from {key}" if key != "protocol" else key, known


def _shown(task: SegmentTask, row: CohortRow, model: "SegmentModel") -> SlideShown:
    """Gather pictures, shares and files of a slide or image that is done."""
    names = [channel.name for channel in model.channels]
    shares = ((channel, row.percent(channel.name)) for channel in model.channels)
    area = row.mm2(*names)
    facts = [] if area is None else [area_text(area, ON_PAGES)]
    facts += [] if row.confidence is None else [f"mean confidence {100 * row.confidence:.0f} %"]
    return SlideShown(
        name=row.name,
        pictures=_drawn(task, model),
        shares=tuple(Share(each.display, each.color, share) for each, share in shares if share),
        facts=tuple(facts),
        notes=row.notes,
        links=tuple(_links(task)),
    )


def _drawn(task: SegmentTask, model: "SegmentModel") -> tuple[Picture, ...]:
    if task.kind == "slide":
        return slide_pictures(task.out, task.name, task.name, SIDE)
    return image_pictures(task.out, task.name, Path(task.entry.path), model.channels, SIDE)


def _links(task: SegmentTask) -> Iterator[tuple[str, str]]:
    """Yield the files of a slide or image, as addresses relative to the page."""
    if task.kind == "slide":
        paths = [(text, task.stem.with_name(f"{task.name}{ending}")) for text, ending in FILES]
    else:
        paths = [(text, task.out / folder / f"{task.name}.png") for text, folder in IMAGE_FILES]
    yield from ((text, quote(path.relative_to(task.out).as_posix())) for text, path in paths if path.is_file())
