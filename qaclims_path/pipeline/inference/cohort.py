"""Results of a segmentation: one row per slide or image, and the table of the cohort."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.inference.inputs import SegmentTask
from qaclims_path.slides.cohort.state import ended_state

if TYPE_CHECKING:
    from qaclims_path.pipeline.inference.model import SegmentModel

COHORT = "cohort.csv"
FIRST = ("name", "patient", "kind", "path", "status", "mpp_um", "map_mpp_um", "tiles", "confidence", "labelled_mm2")
LAST = ("failure", "notes")


@dataclass(frozen=True)
class CohortRow:
    """Result of one slide or image.

    Attributes:
        kind: `slide` or `image`.
        status: `done`, `failed`, or `waiting` for another shard.
        mpp: Pixel size of the file in micrometres, where it is known.
        map_mpp: Pixel size of its class map in micrometres.
        tiles: Number of tiles that were predicted.
        confidence: Mean probability of the labels, where it was written.
        pixels: Number of pixels of the class map, by class.
        error: Reason of a failure.
        notes: Warnings, as sentences.
    """

    name: str
    path: str
    patient: str
    kind: str
    status: str
    mpp: float | None = None
    map_mpp: float | None = None
    tiles: int = 0
    confidence: float | None = None
    pixels: dict[str, int] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()

    def mm2(self, *names: str) -> float | None:
        """Return the area of some classes in square millimetres, where the pixel size is known."""
        if self.map_mpp is None:
            return None
        return sum(self.pixels[name] for name in names) * self.map_mpp**2 / 1e6

    def percent(self, name: str) -> float | None:
        """Return the percentage of a class among the labelled pixels; None where there are none."""
        total = sum(self.pixels.values())
        return 100 * self.pixels[name] / total if total else None


@dataclass(frozen=True)
class SegmentReport:
    """Result of a segmentation.

    Attributes:
        out: Folder of the results.
        table: Path of the table.
        page: Path of the page about all of them.
        classes: Class names, with background where the model has it.
        mpp: Pixel size at which the model predicts slides, in micrometres, where it is known.
        precision: Numeric precision of the network.
        device: Device of the network.
        worked: Number of slides and images that this run worked on.
        failed: Number of failed inputs.
        complete: Whether every input is done or has failed.
        rows: One row per slide and image, by name.
        skipped: Reason by path, for files that were skipped.
        notes: Warnings about all of them, as sentences.
    """

    out: str
    table: str
    page: str
    classes: tuple[str, ...]
    mpp: float | None
    precision: str
    device: str
    worked: int
    failed: int
    complete: bool
    rows: tuple[CohortRow, ...]
    skipped: dict[str, str]
    notes: tuple[str, ...] = ()


def row_of(task: SegmentTask, model: "SegmentModel") -> CohortRow:
    """Make the row of a task from its recorded state."""
    about = (task.name, task.entry.path, task.entry.patient, task.kind)
    state = ended_state(task.out, task.name, task.fingerprint)
    if state is None:
        return CohortRow(*about, "waiting")
    if state.status == "failed":
        return CohortRow(*about, "failed", error=state.error)
    facts = state.result
    pixels = {channel.name: count for channel, count in zip(model.channels, facts["counts"], strict=True)}
    sizes = facts["mpp"], facts["map_mpp"]
    sure = facts.get("confidence")
    return CohortRow(*about, "done", *sizes, facts["tiles"], sure, pixels, notes=tuple(facts["notes"]))


def write_cohort(out: Path, rows: Sequence[CohortRow], classes: Sequence[str], warnings: Sequence[str] = ()) -> Path:
    """Write the table: mm2 and percent of every class for each slide and image; without times, to be reproducible.

    Args:
        out: Folder of the table.
        rows: The slides and images.
        classes: Names of the classes.
        warnings: Warnings about the model, for the notes of every row.
    """
    path = out / COHORT
    write_csv(path, [line_of(row, classes, warnings) for row in rows], columns_of(classes))
    return path


def columns_of(classes: Sequence[str]) -> list[str]:
    """Return the columns of the table."""
    return [*FIRST, *(f"{name}_{unit}" for name in classes for unit in ("mm2", "percent")), *LAST]


def line_of(row: CohortRow, classes: Sequence[str], warnings: Sequence[str] = ()) -> dict[str, object]:
    """Return the line of a slide or image, by column; without areas where it is not done."""
    line: dict[str, object] = {
        "name": row.name,
        "patient": row.patient,
        "kind": row.kind,
        "path": row.path,
        "status": row.status,
        "mpp_um": row.mpp,
        "map_mpp_um": row.map_mpp,
        "failure": row.error,
        "notes": " ".join([*warnings, *row.notes]),
    }
    if row.status == "done":
        line |= {"tiles": row.tiles, "confidence": row.confidence, "labelled_mm2": row.mm2(*classes)}
        line |= {f"{name}_mm2": row.mm2(name) for name in classes}
        line |= {f"{name}_percent": row.percent(name) for name in classes}
    return line


def notes_on(tasks: Sequence[SegmentTask], model: "SegmentModel") -> tuple[str, ...]:
    """Warn about images that do not state their pixel size."""
    images = [task for task in tasks if task.kind == "image"]
    silent = [task for task in images if (task.entry.mpp or task.slide_mpp) is None]
    if not silent:
        return ()
    at = f" ({model.mpp:g} um)" if model.mpp else ""
    said = (
        f"{len(silent)} of {len(images)} images do not state their pixel size: that of the model{at} is assumed, and "
        "they have no areas in mm2. Give it with --slide-mpp."
    )
    return (said,)
