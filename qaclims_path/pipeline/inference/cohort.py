"""What a segmentation gave: one row per slide or image, for people, for programs, and as the table of a cohort."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.inference.inputs import SegmentTask
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.slides.cohort.state import ended_state

COHORT = "cohort.csv"
FIRST = ("name", "patient", "kind", "path", "status", "mpp_um", "map_mpp_um", "tiles", "labelled_mm2")
LAST = ("failure", "notes")


@dataclass(frozen=True)
class CohortRow:
    """What became of a slide or image.

    Attributes:
        kind: `slide` or `image`.
        status: `done`, `failed`, or `waiting` where another part of the work has not come to it.
        mpp: Pixel size of the file in micrometres, where it is known.
        map_mpp: Pixel size of its class map.
        tiles: That the model looked at.
        pixels: Of the class map, by class.
        error: Why it failed.
        notes: Sentences about what looked odd.
    """

    name: str
    path: str
    patient: str
    kind: str
    status: str
    mpp: float | None = None
    map_mpp: float | None = None
    tiles: int = 0
    pixels: dict[str, int] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()

    def mm2(self, *names: str) -> float | None:
        """Area of some classes, where the pixel size is known."""
        if self.map_mpp is None:
            return None
        return sum(self.pixels[name] for name in names) * self.map_mpp**2 / 1e6

    def percent(self, name: str) -> float | None:
        """Share of a class in what was labelled; None where nothing was."""
        total = sum(self.pixels.values())
        return 100 * self.pixels[name] / total if total else None


@dataclass(frozen=True)
class SegmentReport:
    """What a segmentation gave.

    Attributes:
        out: Folder of the results.
        table: Path of the table.
        classes: Names, background included where the model knows it.
        mpp: Pixel size at which the model looks, in micrometres, where it is known.
        precision: Of the network.
        device: Where it computed.
        worked: Slides and images that this run worked on.
        failed: Those of them that failed.
        complete: Whether every one of the inputs is done or has failed.
        rows: By name.
        skipped: Files that were passed over, with the reason.
        notes: Sentences about all of them.
    """

    out: str
    table: str
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


def row_of(task: SegmentTask, model: SegmentModel) -> CohortRow:
    """What the books say of a task."""
    about = (task.name, task.entry.path, task.entry.patient, task.kind)
    state = ended_state(task.out, task.name, task.fingerprint)
    if state is None:
        return CohortRow(*about, "waiting")
    if state.status == "failed":
        return CohortRow(*about, "failed", error=state.error)
    found = state.result
    pixels = {channel.name: count for channel, count in zip(model.channels, found["counts"], strict=True)}
    sizes = found["mpp"], found["map_mpp"]
    return CohortRow(*about, "done", *sizes, found["tiles"], pixels, notes=tuple(found["notes"]))


def write_cohort(out: Path, rows: Sequence[CohortRow], classes: Sequence[str]) -> Path:
    """Write the table: mm2 and percent of every class for each slide and image; no times, so that equal is equal."""
    columns = [*FIRST, *(f"{name}_{unit}" for name in classes for unit in ("mm2", "percent")), *LAST]
    lines = []
    for row in rows:
        line: dict[str, object] = {
            "name": row.name,
            "patient": row.patient,
            "kind": row.kind,
            "path": row.path,
            "status": row.status,
            "mpp_um": row.mpp,
            "map_mpp_um": row.map_mpp,
            "failure": row.error,
            "notes": " ".join(row.notes),
        }
        if row.status == "done":
            line |= {"tiles": row.tiles, "labelled_mm2": row.mm2(*classes)}
            line |= {f"{name}_mm2": row.mm2(name) for name in classes}
            line |= {f"{name}_percent": row.percent(name) for name in classes}
        lines.append(line)
    path = out / COHORT
    write_csv(path, lines, columns)
    return path


def notes_on(tasks: Sequence[SegmentTask], model: SegmentModel) -> tuple[str, ...]:
    """What is to be said about the pixel size of images: they seldom state it."""
    images = [task for task in tasks if task.kind == "image"]
    silent = [task for task in images if (task.entry.mpp or task.slide_mpp) is None]
    if not silent:
        return ()
    at = f" ({model.mpp:g} um)" if model.mpp else ""
    said = (
        f"{len(silent)} of {len(images)} images do not say how large their pixels are: they are taken to be as large "
        f"as the model wants{at}, and have no areas in mm2. Give it with --slide-mpp."
    )
    return (said,)
