"""Tile slides into a folder that is a data set; a stopped run is resumed, and a bad slide does not stop the others.

The folder holds `manifest.csv` (all tiles), `slides.csv` (the slides), `card.yaml`, `summary.md`; per slide
`slides/<slide>.csv`, `quality/<slide>.jpg`, `geojson/<slide>.geojson`, `stain/`, `tiles/`, `masks/`, `train-masks/` and
`state/`. `annotations.json` says what was understood of drawn regions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qaclims_path.files.digest import FULL, digest_of, digest_of_json
from qaclims_path.files.marks import NOTHING
from qaclims_path.files.progress import track
from qaclims_path.files.shards import RUN_LOCK
from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.tiling.annotations import (
    ClassLine,
    settled,
    undrawn_in_training,
    untiled_in_training,
    write_understood,
)
from qaclims_path.pipeline.tiling.labels import LabelPlan, files_for, plan_labels
from qaclims_path.pipeline.tiling.options import TRAIN, TileOptions, WorkOptions, check_folder
from qaclims_path.pipeline.tiling.report import (
    MANIFEST,
    SlideLine,
    TileReport,
    drawn_by_split,
    make_card,
    tiles_by_split,
    write_card,
    write_summary,
)
from qaclims_path.pipeline.tiling.slide import SlidePlan, SlideTask, plan_slide, written
from qaclims_path.pipeline.tiling.warnings import SlideFacts, cohort_warnings, tile_warnings
from qaclims_path.pipeline.tiling.workers import run_tasks
from qaclims_path.slides.cohort.manifest import merge
from qaclims_path.slides.cohort.slide_list import SlideEntry, SlideList, collect_slides, read_rows
from qaclims_path.slides.cohort.splits import with_splits
from qaclims_path.slides.cohort.state import ended_state, read_state, slide_bytes
from qaclims_path.slides.tissue import check_tissue

SLIDES = "slides.csv"
ROWS = ("name", "slide", "patient", "split", "mpp", "stain")


@dataclass(frozen=True)
class TileInputs:
    """The slides and the files that describe them.

    Attributes:
        slides: Files, folders, slide lists.
        slide_mpp: Pixel size in micrometres of slides that do not state it.
        labels: A GeoJSON, a folder of GeoJSON files, or a CSV.
        roi: A GeoJSON with regions of interest, or a folder of them.
        tissue: `otsu`, `none`, a mask, a GeoJSON, or a folder of these.
    """

    slides: tuple[str, ...]
    slide_mpp: float | None = None
    labels: Path | None = None
    roi: Path | None = None
    tissue: str = "otsu"


def tile(inputs: TileInputs, out: Path, options: TileOptions, work: WorkOptions | None = None) -> TileReport:
    """Tile slides into a folder; slides that an earlier run with the same options finished are kept.

    Args:
        inputs: The slides and the files that describe them.
        out: The folder.
        options: Everything else that affects the tiles.
        work: Processes and shard.

    Examples:
        >>> options = TileOptions(mpp=0.5, size=224, stride=224)
        >>> tile(TileInputs(("slides",)), Path("tiles"), options).tiles  # doctest: +SKIP
        {'train': 4218, 'val': 901, 'test': 733}
    """
    work = work or WorkOptions()
    out = out.absolute()
    check_tissue(inputs.tissue)
    found = collect_slides(inputs.slides, leave_out=out)
    labels, options = _settled(inputs, found.slides, options)
    if labels.classes:
        make_card(out.name, options, labels, {TRAIN: 1}, {})  # refuse class names that a card cannot hold
    check_folder(out, options)
    with work.shard.hold(out / RUN_LOCK):
        check_folder(out, options)  # again under the lock
        tasks = _tasks(inputs, _assigned(found, out, options), out, options, labels)
        check_folder(out, options, write=True)  # nothing is refused any more
        _write_list(out, tasks)
        mine = work.shard.take(tasks)
        to_do = [task for task in mine if not _is_done(task)]
        failed = sum(state.status == "failed" for state in run_tasks(to_do, workers=work.workers, engine=work.engine))
        _write_list(out, tasks)
        lines = tuple(_line(task) for task in tasks)
        complete = all(line.status != "waiting" for line in lines)
        described = {path for task in tasks for path in (task.regions, task.roi)}
        skipped = {path: reason for path, reason in found.skipped.items() if path not in described}
        report = TileReport(str(out), len(mine), failed, complete, tiles_by_split(lines), lines, skipped, card=None)
        report = replace(report, warnings=(*labels.warnings, *cohort_warnings(_facts(tasks))))
        return _finished(out, report, options, labels) if complete else report


def plan(inputs: TileInputs, out: Path, options: TileOptions, work: WorkOptions | None = None) -> list[SlidePlan]:
    """Plan the slides that `tile` would tile; nothing is written."""
    work = work or WorkOptions()
    out = out.absolute()
    check_tissue(inputs.tissue)
    found = collect_slides(inputs.slides, leave_out=out)
    labels, options = _settled(inputs, found.slides, options)
    check_folder(out, options)
    tasks = _tasks(inputs, _assigned(found, out, options), out, options, labels)
    mine = [task for task in work.shard.take(tasks) if not _is_done(task)]
    return [plan_slide(task) for task in track(mine, "looking at slides")]


def _settled(inputs: TileInputs, slides: Sequence[SlideEntry], options: TileOptions) -> tuple[LabelPlan, TileOptions]:
    """Find the labels of all slides, and settle what undrawn area means."""
    labels = plan_labels(slides, inputs.labels, masks=options.masks or options.train_masks)
    rois, _ = files_for(slides, inputs.roi, "--roi") if inputs.roi else ({}, {})
    return labels, settled(options, slides, labels, rois)


def _assigned(found: SlideList, out: Path, options: TileOptions) -> tuple[SlideEntry, ...]:
    earlier = read_rows(out / SLIDES) if (out / SLIDES).exists() else {}
    return with_splits(
        found.slides,
        by=options.split_by,
        shares=options.split_shares,
        seed=options.seed,
        earlier={name: entry.split for name, entry in earlier.items()},
    )


def _tasks(
    inputs: TileInputs, entries: Sequence[SlideEntry], out: Path, options: TileOptions, labels: LabelPlan
) -> list[SlideTask]:
    rois, no_roi = files_for(entries, inputs.roi, "--roi") if inputs.roi else ({}, {})
    tasks = [
        SlideTask(
            entry=entry,
            out=out,
            options=options,
            fingerprint="",
            classes=labels.classes,
            colors=labels.colors,
            regions=labels.regions.get(entry.name),
            whole=labels.whole.get(entry.name, NOTHING),
            roi=rois.get(entry.name),
            tissue=inputs.tissue,
            slide_mpp=inputs.slide_mpp,
            problem=labels.missing.get(entry.name) or no_roi.get(entry.name) or _undrawn(entry, options, labels),
        )
        for entry in entries
    ]
    return [replace(task, fingerprint=_fingerprint(task)) for task in tasks]


def _undrawn(entry: SlideEntry, options: TileOptions, labels: LabelPlan) -> str:
    """Return the reason why a slide cannot get the masks of its split; empty where it can, or needs none."""
    if entry.split == TRAIN or not options.masked(entry.split) or entry.name in labels.regions:
        return ""
    return (
        f"Only its classes are named, but with --masks the slides for '{entry.split}' need drawn regions. Name a "
        "GeoJSON in the column 'labels' of the slide list, or put the slide into the split 'train'."
    )


def _fingerprint(task: SlideTask) -> str:
    """Hash of everything that affects the output except the path, because a folder of slides may be moved."""
    entry = {key: value for key, value in asdict(task.entry).items() if key not in ("path", "labels", "stain")}
    later = {"masks": False, "annotations": "complete", "train_masks": False}  # options that older folders lack
    options = task.options.model_dump(mode="json")
    options = {key: value for key, value in options.items() if key not in later or later[key] != value}
    whole = [task.whole.present, *([task.whole.unknown] if task.whole.unknown else [])]
    known = [options, entry, task.classes, task.colors, *whole, task.problem]
    files = [path for path in (task.regions, task.roi) if path]
    if task.options.tissue == "file":
        tissue = Path(task.tissue)
        files += sorted(map(str, tissue.glob(f"{Path(task.entry.path).stem}.*"))) if tissue.is_dir() else [task.tissue]
    content = [digest_of(_content(Path(file)), digits=FULL) for file in files]
    return digest_of_json([known, content], FULL)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # reported when the slide is tiled
        return b""


def _is_done(task: SlideTask) -> bool:
    state = ended_state(task.out, task.name, task.fingerprint)
    if state is None or state.status != "done":
        return False
    if state.result.get("given_mpp") not in (None, task.slide_mpp):
        return False
    same_slide = slide_bytes(task.entry.path) in (
        None,
        state.result.get("bytes"),
    )  # None: removed since
    manifest, *_, masks = written(task)
    return same_slide and manifest.is_file() and (masks.is_dir() or not task.has_masks)


def _write_list(out: Path, tasks: Sequence[SlideTask]) -> None:
    """Write the slides as a list that can be given to `tile` again.

    It is written before the work, because later runs take the splits from it, and again after it, with the pixel sizes
    that slides lacked.
    """
    rows = []
    for task in tasks:
        state = read_state(out, task.name)
        given = None if state is None else state.result.get("given_mpp")
        rows.append({**asdict(task.entry), "slide": task.entry.path, "mpp": task.entry.mpp or given})
    write_csv(out / SLIDES, rows, ROWS)


def _line(task: SlideTask) -> SlideLine:
    entry = task.entry
    about = (entry.name, entry.path, entry.patient, entry.split)
    state = ended_state(task.out, task.name, task.fingerprint)
    if state is None:
        return SlideLine(*about, "waiting")
    if state.status == "failed":
        return SlideLine(*about, "failed", error=state.error)
    found = state.result
    classes = {name: ClassLine(**line) for name, line in found.get("classes", {}).items()}  # older folders lack them
    return SlideLine(*about, "done", found["tiles"], found.get("drawn", 0), classes, notes=tuple(found["notes"]))


def _facts(tasks: Sequence[SlideTask]) -> list[SlideFacts]:
    """Collect what is known of the slides that are done."""
    states = [(task, ended_state(task.out, task.name, task.fingerprint)) for task in tasks]
    return [
        SlideFacts(task.name, task.entry.path, state.result.get("mpp"), task.entry.stain)
        for task, state in states
        if state is not None and state.status == "done"
    ]


def _finished(out: Path, report: TileReport, options: TileOptions, labels: LabelPlan) -> TileReport:
    """Merge the manifests of all slides; write card and summary."""
    parts = [out / "slides" / f"{line.name}.csv" for line in report.slides if line.status == "done"]
    merge(out / MANIFEST, parts, labels.classes)
    if labels.classes and report.tiles:
        card = make_card(out.name, options, labels, report.tiles, drawn_by_split(report.slides))
        write_card(out / "card.yaml", card)
        slides = {line.name: (line.split, line.classes) for line in report.slides if line.status == "done"}
        annotated = {name: slides[name] for name in slides if name in labels.regions}
        drawn = (*undrawn_in_training(annotated), *untiled_in_training(annotated))
        warnings = (*report.warnings, *drawn, *tile_warnings(out / "card.yaml", out / MANIFEST))
        write_understood(out, options, slides, warnings)
        report = replace(report, card=str(out / "card.yaml"), warnings=warnings)
    write_summary(out, report, options)
    return report
