"""Labels of tiles: from regions drawn on each slide, or from the classes of whole slides."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from qaclims_path.compute.colours import color_of
from qaclims_path.data.card import BACKGROUND_NAME, IGNORE_NAME
from qaclims_path.errors import BadFile, QaclimsError, UsageError, first_of
from qaclims_path.files.geojson import classifications, read_geojson
from qaclims_path.files.marks import Label, Mark, label_of, read_names
from qaclims_path.files.tables import read_csv
from qaclims_path.slides.annotations.labels import read_slide_labels, slides_elsewhere
from qaclims_path.slides.cohort.slide_list import COLUMNS, SlideEntry

REGIONS = (".geojson", ".json", ".geojson.gz")
SHOWN = 5
Color = tuple[int, int, int]


@dataclass(frozen=True)
class LabelPlan:
    """Labels of all slides, before any is opened.

    Attributes:
        classes: Names, in the order of the columns.
        colors: One colour per class.
        regions: GeoJSON file by slide name.
        whole: Label of a whole slide, by slide name.
        missing: Reason why a slide cannot be labelled, by slide name.
        warnings: What was found in the files of labels, as sentences.
    """

    classes: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()
    regions: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Label] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def plan_labels(slides: Sequence[SlideEntry], source: Path | None, *, masks: bool = False) -> LabelPlan:
    """Find the labels of all slides and the classes in them.

    Args:
        slides: All slides of the list.
        source: A GeoJSON (for a single slide), a folder with one GeoJSON per slide, or a CSV with the classes of whole
            slides; None takes the column `labels` of the slide list, if it has one.
        masks: Whether masks are written, which needs regions.
    """
    labels = _plan(slides, source)
    if masks and not labels.regions:
        raise UsageError(
            "--masks draws the regions of annotated slides, but no slide has any. Give --labels a GeoJSON or a folder "
            "with one per slide, or leave --masks out."
        )
    return labels


def _plan(slides: Sequence[SlideEntry], source: Path | None) -> LabelPlan:
    listed = [slide for slide in slides if slide.labels]
    if source is None:
        return _from_column(slides) if listed else LabelPlan()
    if listed:
        raise UsageError("Labels are given twice: by --labels and in the column 'labels' of the slide list. Drop one.")
    if source.suffix.lower() == ".csv":
        return _from_table(slides, source)
    files, missing = files_for(slides, source, "--labels")
    return _from_regions(files, missing)


def files_for(slides: Sequence[SlideEntry], source: Path, option: str) -> tuple[dict[str, str], dict[str, str]]:
    """Find the GeoJSON of every slide, and a sentence for every slide that has none; both by slide name.

    Args:
        slides: All slides of the list.
        source: A file for a single slide, or a folder with files named like the slides.
        option: Option of the command line, for messages.
    """
    if source.is_file():
        if len(slides) > 1:
            raise UsageError(
                f"{option} {source} is one file, but there are {len(slides)} slides. Give a folder with one GeoJSON "
                "per slide, named like the slide."
            )
        return {slides[0].name: str(source.absolute())}, {}
    if not source.is_dir():
        raise BadFile(f"{option} {source} does not exist.")
    stems = [Path(slide.path).stem for slide in slides]
    found, missing = {}, {}
    for slide, stem in zip(slides, stems, strict=True):
        names = [slide.name, Path(slide.path).name, *([stem] if stems.count(stem) == 1 else [])]
        paths = [source / f"{name}{suffix}" for name in dict.fromkeys(names) for suffix in REGIONS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            missing[slide.name] = f"{source} holds no {slide.name}.geojson. Add it, or leave the slide out."
        else:
            found[slide.name] = str(path.absolute())
    if not found:
        raise BadFile(f"{option} {source} holds no GeoJSON named like a slide, such as {slides[0].name}.geojson.")
    return found, missing


def _from_regions(files: dict[str, str], missing: dict[str, str]) -> LabelPlan:
    known: dict[str, Color | None] = {}
    damaged: list[QaclimsError] = []
    for path in files.values():
        try:
            for name, color in classifications(read_geojson(Path(path))).items():
                known[name] = known.get(name) or color
        except QaclimsError as error:  # recorded again when the slide is tiled
            damaged.append(error)
    classes = tuple(sorted(name for name in known if not _ignored(name)))
    if not classes and damaged:
        raise damaged[0]
    if not classes:
        raise BadFile(f"No region of {', '.join(Path(p).name for p in [*files.values()][:3])} has a class to learn.")
    colors = tuple(known[name] or color_of(i) for i, name in enumerate(classes))
    return LabelPlan(classes, colors, regions=files, missing=missing)


def _from_table(slides: Sequence[SlideEntry], path: Path) -> LabelPlan:
    names = {_file_name(slide): slide.name for slide in slides}
    if len(names) < len(slides):
        raise UsageError(f"{path} names slides by file, but two slides have the same file name. Use a slide list.")
    classes = _classes_of(path)
    rows, elsewhere = read_slide_labels(path, classes, list(names)), slides_elsewhere(path, list(names))
    if not rows:
        raise BadFile(f"{path} has no row for any slide. Add one per slide, such as {next(iter(names))}.")
    whole = {names[file]: label for file, label in rows.items()}
    missing = {
        name: f"{path} has no row for {file}. {_meant(file, elsewhere)}Add it, or leave the slide out."
        for file, name in names.items()
        if name not in whole
    }
    colors = tuple(color_of(i) for i in range(len(classes)))
    return LabelPlan(classes, colors, whole=whole, missing=missing, warnings=_unused(path, elsewhere))


def _classes_of(path: Path) -> tuple[str, ...]:
    """Collect the classes that a CSV names, in its column `labels` or as columns."""
    classes: set[str] = set()
    for row in read_csv(path, ["slide"]):
        where = f"{path}, slide '{row['slide']}'"
        classes |= set(_classes_in(row["labels"], where)) if "labels" in row else set(row) - set(COLUMNS)
    return tuple(sorted(classes))


def _meant(file: str, elsewhere: Sequence[str]) -> str:
    """Name the row that a slide without one may have been meant by."""
    rows = {Path(row).stem: row for row in elsewhere}
    close = get_close_matches(Path(file).stem, list(rows), n=1)
    return f"Is it the row '{rows[close[0]]}'? " if close else ""


def _unused(path: Path, elsewhere: Sequence[str]) -> tuple[str, ...]:
    if not elsewhere:
        return ()
    rows = "1 row" if len(elsewhere) == 1 else f"{len(elsewhere)} rows"
    names, slides = ("names", "a slide that is") if len(elsewhere) == 1 else ("name", "slides that are")
    sentence = (
        f"{rows} of {path.name} {names} {slides} not here ({first_of(elsewhere, SHOWN)}) and not used. Correct the "
        "names, or give these slides, too."
    )
    return (sentence,)


def _from_column(slides: Sequence[SlideEntry]) -> LabelPlan:
    """Return labels of a slide list whose rows name classes or a GeoJSON."""
    drawn = {slide.name: slide.labels for slide in slides if slide.labels.lower().endswith(REGIONS)}
    missing = {slide.name: "The slide list gives it no labels." for slide in slides if not slide.labels}
    plan = _from_regions(drawn, missing) if drawn else LabelPlan(missing=missing)
    named = {
        s.name: _classes_in(s.labels, f"The slide list, slide '{s.name}'")
        for s in slides
        if s.labels and s.name not in drawn
    }
    classes = tuple(sorted({*plan.classes, *(label for labels in named.values() for label in labels)}))
    colors = dict(zip(plan.classes, plan.colors, strict=True))
    whole = {name: label_of(marks.get(each, False) for each in classes) for name, marks in named.items()}
    chosen = tuple(colors.get(name) or color_of(i) for i, name in enumerate(classes))
    return LabelPlan(classes, chosen, drawn, whole, missing)


def _classes_in(text: str, where: str) -> dict[str, Mark]:
    """Return the classes that a cell names, separated by `;` or `|`."""
    names = read_names(text)
    for mark, title in ((",", "','"), ("\t", "tabs"), ("/", "'/'")):
        if any(mark in name for name in names):
            raise BadFile(
                f"{where}: the classes '{text}' seem to be separated by {title}. Write ';' between them, as in "
                "tumor;stroma."
            )
    return names


def _file_name(slide: SlideEntry) -> str:
    return Path(slide.path).name


def _ignored(name: str) -> bool:
    """QuPath ignores classes whose names end in `*`."""
    return name.endswith("*") or name.casefold() in (BACKGROUND_NAME, IGNORE_NAME)
