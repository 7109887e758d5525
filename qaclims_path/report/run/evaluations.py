"""Evaluations read back from `metrics.json` and the tables beside it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.protocol import load_protocol
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.json_files import read_objects
from qaclims_path.files.tables import read_csv
from qaclims_path.report import evaluation as found
from qaclims_path.report.evaluation import EvaluationReport

METRICS, CONFUSION, SWEEP, PER_IMAGE = "metrics.json", "confusion.csv", "sweep.csv", "per_image.csv"
LISTED = ("seg", "masks", "cams")  # the last stage first
Entry = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, and the mIoU of each of its images by name (NaN where there is nothing to score)."""

    report: EvaluationReport
    images: Mapping[str, float]


def read_evaluations(run: Path) -> tuple[Evaluated, ...]:
    """Read every evaluation of a run: those that its `metrics.json` lists, and those beside the scored predictions.

    Tables belong to an entry when the `metrics.json` next to them holds the same scores.

    Args:
        run: Folder of the run.
    """
    listed = [(entry, None) for entry in _entries(run / METRICS)] if (run / METRICS).is_file() else []
    beside = [
        (entry, path.parent) for path in sorted(run.rglob(METRICS)) if path != run / METRICS for entry in _entries(path)
    ]
    chosen: dict[tuple[str, ...], tuple[Entry, Path | None]] = {}
    for entry, folder in [*listed, *beside]:
        key = tuple(str(entry.get(name)) for name in ("dataset", "what", "split", "protocol", "gate", "crf"))
        if key not in chosen:
            chosen[key] = entry, folder
        elif chosen[key][1] is None and chosen[key][0].get("scores") == entry.get("scores"):
            chosen[key] = chosen[key][0], folder
    evaluated = [_evaluated(entry, folder, run) for entry, folder in chosen.values()]
    return tuple(sorted(evaluated, key=_order))


def _order(evaluated: Evaluated) -> tuple[int, int, str]:
    report = evaluated.report
    stage = LISTED.index(report.what) if report.what in LISTED else len(LISTED)
    return stage, {"test": 0, "val": 1}.get(report.split, 2), report.split


def _entries(path: Path) -> list[Entry]:
    entries = read_objects(path, "Remove it, and evaluate again.")
    return [entry for entry in entries if entry.get("schema") == found.SCHEMA]


def _evaluated(entry: Entry, folder: Path | None, run: Path) -> Evaluated:
    path = (folder or run) / METRICS
    try:
        names, matrix = _confusion(folder) if folder else ((), np.zeros((0, 0), np.int64))
        classes = [
            found.ClassRow(name=name, **_values(found.ClassRow, row)) for name, row in entry["per_class"].items()
        ]
        report = EvaluationReport(
            **{name: entry[name] for name in ("dataset", "split", "protocol", "gate", "what", "images", "missing")},
            protocol_title=_title(entry["protocol"]),
            expected_images=entry["expected_images"],
            mean_over=tuple(entry["mean_over"]),
            scores=found.Means(**_values(found.Means, entry["scores"])),
            per_class=tuple(classes),
            absent=tuple(entry["absent"]),
            per_image_means=found.PerImageMeans(**_values(found.PerImageMeans, entry["per_image_means"])),
            boundary_iou=found.BoundaryMean(**_values(found.BoundaryMean, entry["boundary_iou"])),
            intervals=_maybe(found.Bootstrap, entry["intervals"]),
            foreground=_maybe(found.Foreground, entry["foreground"]),
            best_threshold=_maybe(found.Best, entry["best_threshold"]),
            sweep=tuple(_sweep(folder, [row.name for row in classes])) if folder else (),
            confusion=matrix,
            confusion_rows=names,
            published=(),
            notes=tuple(entry["notes"]),
            crf=str(entry.get("crf", "none")),
        )
        return Evaluated(report, dict(_per_image(folder)) if folder else {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise BadFile(f"{path} is not an evaluation of this version: {missing}. Evaluate again.") from error


def _maybe(kind: Any, tree: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - any of the report's parts
    return None if tree is None else kind(**_values(kind, tree))


def _values(kind: Any, tree: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - any of the report's parts
    """Convert the fields of a part: JSON's null is NaN in a number field, and lists become tuples."""
    return {each.name: _value(tree[each.name], each.type) for each in fields(kind) if each.name in tree}


def _value(value: Any, kind: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, list):
        return tuple(math.nan if item is None else float(item) for item in value)
    return math.nan if value is None and kind is float else value


def _title(protocol: str) -> str:
    try:
        return load_protocol(protocol).title
    except UsageError:  # of another version
        return protocol


def _confusion(folder: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Read the names of the rows, and pixels; empty without a table."""
    path = folder / CONFUSION
    if not path.is_file():
        return (), np.zeros((0, 0), np.int64)
    rows = list(read_csv(path, ["truth", "no class", "scored"]))
    names = [row["truth"] for row in rows]
    return tuple(names), np.array([[int(row[name]) for name in (*names, "no class")] for row in rows], np.int64)


def _sweep(folder: Path, classes: Sequence[str]) -> Iterator[found.SweepRow]:
    if (folder / SWEEP).is_file():
        for row in read_csv(folder / SWEEP, ["threshold", "miou", "mean_dice"]):
            iou = tuple(_number(row[f"iou {name}"]) for name in classes)
            yield found.SweepRow(float(row["threshold"]), _number(row["miou"]), _number(row["mean_dice"]), iou)


def _per_image(folder: Path) -> Iterator[tuple[str, float]]:
    if (folder / PER_IMAGE).is_file():
        for row in read_csv(folder / PER_IMAGE, ["image", "miou"]):
            yield row["image"], _number(row["miou"])


def _number(text: str) -> float:
    return float(text) if text else math.nan
