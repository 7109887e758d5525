"""Meaning of undrawn area: asked for where it matters, and reported afterwards per slide and class."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import shapely

from qaclims_path.errors import QaclimsError, UsageError, first_of
from qaclims_path.files.atomic import write_json
from qaclims_path.files.numbers import area_text
from qaclims_path.pipeline.tiling.labels import LabelPlan
from qaclims_path.pipeline.tiling.options import TRAIN, TileOptions
from qaclims_path.slides.annotations.regions import SlideRegions, read_regions, read_roi
from qaclims_path.slides.cohort.manifest import TileLabels
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.slides.reader import open_slide
from qaclims_path.types import SlideInfo

ANNOTATIONS = "annotations.json"
SHOWN = 3
UNDRAWN = 0.005  # share of a slide; less is the width of a pen
QUESTION = (
    "On {share:.0%} of {slide}, {file} draws nothing. Say what that means: --annotations sparse (nobody looked there, "
    "so its classes are unknown) or --annotations complete (none of the classes is there)."
)


@dataclass(frozen=True)
class ClassLine:
    """Drawn area and tiles of a class on a slide.

    Attributes:
        drawn_mm2: Area that is drawn; None where the slide is labelled as a whole.
        present: Number of tiles that hold the class.
        absent: Number of tiles that do not.
        unknown: Number of tiles of which nobody knows.
    """

    drawn_mm2: float | None
    present: int
    absent: int
    unknown: int


def settled(
    options: TileOptions, slides: Sequence[SlideEntry], labels: LabelPlan, rois: Mapping[str, str]
) -> TileOptions:
    """Settle the meaning of undrawn area; ask for it where it is not given and a slide has such area.

    Args:
        options: Options of the tiling.
        slides: All slides of the list.
        labels: Their labels.
        rois: GeoJSON of the regions of interest, by slide name.
    """
    if options.sparse and not labels.regions:
        raise UsageError(
            "--annotations sparse is about drawn regions, but no slide has any. Give --labels a GeoJSON or a folder "
            "with one per slide, or leave --annotations out."
        )
    if options.annotations is not None:
        return options
    for slide in slides:
        if slide.name in labels.regions:
            path = Path(labels.regions[slide.name])
            share = _undrawn(slide, path, options, rois.get(slide.name))
            if share > UNDRAWN:
                raise UsageError(QUESTION.format(share=share, slide=slide.name, file=path.name))
    return options.model_copy(update={"annotations": "complete"})


def _undrawn(slide: SlideEntry, path: Path, options: TileOptions, roi: str | None) -> float:
    """Return the share of a slide, or of its region of interest, on which nothing is drawn; 0 for a damaged file."""
    try:
        with open_slide(slide.path, backend=options.backend) as opened:
            info = opened.info
        drawn = read_regions(path, info).union
        whole = shapely.box(0, 0, info.width, info.height) if roi is None else read_roi(Path(roi), info).union
    except QaclimsError:  # recorded when the slide is tiled
        return 0.0
    return float(shapely.difference(whole, drawn).area / whole.area)


def understood(labels: TileLabels, regions: SlideRegions | None, info: SlideInfo) -> dict[str, ClassLine]:
    """Count what is known of every class on a slide."""
    count = len(labels.present)
    lines = {}
    for k, name in enumerate(labels.classes):
        present = int(labels.present[:, k].sum())
        known = count if labels.known is None else int(labels.known[:, k].sum())
        area = None if regions is None or info.mpp is None else regions.shapes[k].area * info.mpp[0] * info.mpp[1] / 1e6
        rounded = None if area is None else float(f"{area:.6g}")
        lines[name] = ClassLine(rounded, present, known - present, count - known)
    return lines


def total(lines: Sequence[Mapping[str, ClassLine]]) -> dict[str, ClassLine]:
    """Add the lines of slides, class by class."""
    by_class: dict[str, list[ClassLine]] = defaultdict(list)
    for each in lines:
        for name, line in each.items():
            by_class[name].append(line)
    return {name: _sum(each) for name, each in by_class.items()}


def _sum(lines: Sequence[ClassLine]) -> ClassLine:
    areas = [line.drawn_mm2 for line in lines if line.drawn_mm2 is not None]
    present, absent, unknown = (sum(getattr(line, key) for line in lines) for key in ("present", "absent", "unknown"))
    return ClassLine(float(f"{sum(areas):.6g}") if areas else None, present, absent, unknown)


def undrawn_in_training(slides: Mapping[str, tuple[str, Mapping[str, ClassLine]]]) -> tuple[str, ...]:
    """Return a sentence for every class that is drawn, but on no training slide.

    Args:
        slides: Split and classes of every slide with drawn regions, by name.
    """
    drawn: dict[str, dict[str, str]] = defaultdict(dict)  # split by slide, by class
    for name, (split, classes) in slides.items():
        for called in (called for called, line in classes.items() if line.drawn_mm2):
            drawn[called][name] = split
    return tuple(
        f"{called} is drawn on no training slide, only on {first_of([*where], SHOWN)}, so nothing teaches it. Put one "
        "of these slides into the split 'train' (column 'split' of a slide list)."
        for called, where in drawn.items()
        if TRAIN not in where.values()
    )


def untiled_in_training(slides: Mapping[str, tuple[str, Mapping[str, ClassLine]]]) -> tuple[str, ...]:
    """Return a sentence for every class that is drawn on training slides, but of which no training tile holds enough.

    Args:
        slides: Split and classes of every slide with drawn regions, by name.
    """
    lines = total([classes for split, classes in slides.values() if split == TRAIN])
    return tuple(
        f"{called} is drawn on training slides ({area_text(line.drawn_mm2)}), but no training tile holds enough of it. "
        "Look at the pictures in quality/. Draw it on tissue, or lower --min-tissue or --present-from."
        for called, line in lines.items()
        if line.drawn_mm2 and not line.present
    )


def write_understood(
    out: Path, options: TileOptions, slides: Mapping[str, tuple[str, Mapping[str, ClassLine]]], warnings: Sequence[str]
) -> None:
    """Write what was understood of the annotations as JSON."""
    tree = {
        name: {"split": split, "classes": {called: asdict(line) for called, line in classes.items()}}
        for name, (split, classes) in slides.items()
    }
    write_json(out / ANNOTATIONS, {"annotations": options.annotations, "slides": tree, "warnings": list(warnings)})
