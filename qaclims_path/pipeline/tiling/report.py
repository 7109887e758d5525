"""Results of a tiling: for people (`summary.md`), for programs (`summary.json`), as a data set (`card.yaml`)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qaclims_path.config import parse
from qaclims_path.data.card import Card
from qaclims_path.files.atomic import write_json, write_text
from qaclims_path.pipeline.tiling.annotations import ClassLine
from qaclims_path.pipeline.tiling.labels import LabelPlan
from qaclims_path.pipeline.tiling.options import BACKGROUND, MASKS, TRAIN, TRAIN_MASKS, TileOptions
from qaclims_path.slides.cohort.slide_list import SPLITS

MANIFEST = "manifest.csv"
TRAIN_DRAWN = "train-drawn"
SPARSE = "Sparse annotations: where nothing is drawn, classes are unknown."
ONLY_DRAWN = "Holds only tiles on which something is drawn."
TRAINING = "Supervised by regions drawn on training slides, which no other row reads."
HEADER = """\
# Written by `qaclims slides tile`: the tiles in this folder as a data set. Check them:
#   qaclims datasets check --card card.yaml --root .
# Fill in what you know: organ, stain, licence, and the words that language models are given for each class.
"""


@dataclass(frozen=True)
class SlideLine:
    """Result of one slide.

    Attributes:
        status: `done`, `failed`, or `waiting` for another shard.
        drawn: Number of tiles on which anything is drawn.
        classes: What is known of each class.
        notes: Warnings, as sentences.
    """

    name: str
    path: str
    patient: str
    split: str
    status: str
    tiles: int = 0
    drawn: int = 0
    classes: dict[str, ClassLine] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TileReport:
    """Result of a tiling.

    Attributes:
        tiled: Number of slides that this run worked on.
        failed: Number of those that failed.
        complete: Whether every slide of the list is done or has failed; then the manifest is merged.
        tiles: Number of tiles by split.
        skipped: Reason by path, for files that are not slides.
        card: Path of the card, where there are labels.
        warnings: What to know before training, as sentences.
    """

    out: str
    tiled: int
    failed: int
    complete: bool
    tiles: dict[str, int]
    slides: tuple[SlideLine, ...]
    skipped: dict[str, str]
    card: str | None = None
    warnings: tuple[str, ...] = ()


def tiles_by_split(lines: Sequence[SlideLine]) -> dict[str, int]:
    """Return the number of tiles of each split that has tiles."""
    return _by_split((line.split, line.tiles) for line in lines)


def drawn_by_split(lines: Sequence[SlideLine]) -> dict[str, int]:
    """Return the number of tiles of each split on which anything is drawn."""
    return _by_split((line.split, line.drawn) for line in lines)


def _by_split(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for split, number in numbers:
        counts[split] += number
    return {split: counts[split] for split in SPLITS if counts[split]}


def make_card(
    name: str, options: TileOptions, labels: LabelPlan, tiles: dict[str, int], drawn: dict[str, int]
) -> dict[str, Any]:
    """Make the card of a tiled folder as a tree, and check it.

    Args:
        name: Name of the data set.
        options: Options of the tiling.
        labels: Classes and their colours.
        tiles: Number of tiles by split.
        drawn: Number of tiles by split on which anything is drawn.
    """
    tree: dict[str, Any] = {
        "name": name,
        "title": f"Tiles of {name}",
        "domain": "pathology",
        "stain": "H&E",
        "format": "tiles",
        "mpp": options.mpp,
        "image_size": [options.size, options.size],
        "classes": [
            {"name": label, "color": list(color)} for label, color in zip(labels.classes, labels.colors, strict=True)
        ],
        "background": {"display": "background", "color": list(BACKGROUND)},
        "codes": {
            "0": "background",
            **{str(code): label for code, label in enumerate(labels.classes, start=1)},
            "255": "ignore",
        },
        "splits": {
            split: {key: value for key, value in about.items() if value}
            for split, about in _splits(options, tiles, drawn).items()
        },
        "protocols": ["tissue"],
        "licence": "Private; not to be shared.",
        "citation": "None; unpublished.",
        "get": "Private data of the person who tiled these slides.",
        "public": False,
    }
    parse(Card, tree, f"The card of {name}")
    return tree


def write_card(path: Path, tree: dict[str, Any]) -> None:
    """Write a card made by `make_card`."""
    write_text(path, HEADER + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))


def write_summary(out: Path, report: TileReport, options: TileOptions) -> None:
    """Write `summary.json` and `summary.md`: no times, so that equal work gives equal files."""
    slides = [asdict(line) for line in report.slides]
    tree = {"options": options.model_dump(mode="json"), "tiles": report.tiles, "skipped": report.skipped}
    write_json(out / "summary.json", {**tree, "warnings": report.warnings, "slides": slides})
    write_text(out / "summary.md", _markdown(report, options))


def _splits(options: TileOptions, tiles: dict[str, int], drawn: dict[str, int]) -> dict[str, Any]:
    """Describe the splits, and that of drawn training tiles if their masks are written."""
    sparse = SPARSE if options.sparse else ""
    splits: dict[str, Any] = {}
    for split, count in tiles.items():
        if split == TRAIN or not options.masks:
            splits[split] = _labelled(split, count, sparse)
        elif not options.sparse:
            splits[split] = _masked(split, count, MASKS) | {"labels_from": "masks", "labels": []}
        elif split in drawn:
            splits[split] = _masked(split, drawn[split], MASKS, f"{SPARSE} {ONLY_DRAWN}")
    if options.train_masks and TRAIN in drawn:
        splits[TRAIN_DRAWN] = _masked(TRAIN, drawn[TRAIN], TRAIN_MASKS, f"{TRAINING} {ONLY_DRAWN}")
        splits[TRAIN_DRAWN]["supervised"] = True
    return splits


def _labelled(part: str, count: int, note: str) -> dict[str, Any]:
    table = {"images": [MANIFEST], "labels_from": "table", "labels": [MANIFEST]}
    return {"part": part, "supervision": "labels", **table, "count": count, "note": note}


def _masked(part: str, count: int, folder: str, note: str = "") -> dict[str, Any]:
    return _labelled(part, count, note) | {"supervision": "masks", "masks": [folder]}


def _markdown(report: TileReport, options: TileOptions) -> str:
    total = sum(report.tiles.values())
    splits = ", ".join(f"{split} {count}" for split, count in report.tiles.items())
    failed = [line for line in report.slides if line.status == "failed"]
    size = f"{options.size} px at {options.mpp:g} um/px{f' ({splits})' if splits else ''}"
    lines = [
        "# Tiles",
        "",
        f"{total} tiles of {size} from {len(report.slides) - len(failed)} of {len(report.slides)} slides.",
        "",
        "| slide | patient | split | tiles | notes |",
        "|---|---|---|---:|---|",
    ]
    for line in report.slides:
        known = f"failed: {line.error}" if line.status == "failed" else " ".join(line.notes)
        cells = (line.name, line.patient, line.split, str(line.tiles), known)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    if report.warnings:
        lines += ["", "Read before you train:", "", *(f"- {sentence}" for sentence in report.warnings)]
    if report.skipped:
        lines += ["", "Not taken for slides:", ""]
        lines += [f"- {path}: {reason}" for path, reason in report.skipped.items()]
    return "\n".join(lines) + "\n"
