"""Export of a trained segmenter: a folder or a page like those of the hub, or a MONAI bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qaclims_path.errors import UsageError
from qaclims_path.files.json_files import read_objects
from qaclims_path.models.segmenters.bundle import write_bundle
from qaclims_path.models.segmenters.crf import NONE
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import WEIGHTS, find_segmenter, segmenter_in
from qaclims_path.pipeline.evaluation.stages import SCORES
from qaclims_path.pipeline.segmenter.predict import PREDICTIONS

Format = Literal["monai", "hub"]
METRICS = "metrics.json"
AGAIN = "Remove it, and evaluate again."


@dataclass(frozen=True)
class ExportReport:
    """A segmenter that was exported.

    Attributes:
        target: Folder, or address of the page.
        classes: Classes of the segmenter, background included.
        scores: Number of evaluations on its model card.
        megabytes: Size of the weights.
    """

    format: str
    target: str
    classes: tuple[str, ...]
    scores: int
    megabytes: float


def export(run: Path, out: Path, *, format: Format = "monai") -> ExportReport:  # noqa: A002 - as the command has it
    """Write the segmenter of a run into a new folder, with a model card that states data, licence, protocol, scores.

    Args:
        run: Folder of a run, or of a segmenter.
        out: A folder that does not exist yet, or is empty.
        format: `monai` writes a bundle, `hub` the files of `from_pretrained`.

    Examples:
        >>> export(Path("run"), Path("bundle")).scores  # doctest: +SKIP
        2
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder. Choose another --out.")
    segmenter = described(run)
    if format == "monai":
        write_bundle(segmenter, out)
    else:
        segmenter.save_pretrained(out)
    return _report(format, str(out), segmenter, find_segmenter(run))


def push(run: Path, repo: str, *, private: bool = True, endpoint: str | None = None) -> ExportReport:
    """Upload the segmenter of a run with its model card.

    Args:
        run: Folder of a run, or of a segmenter.
        repo: `owner/name` on the hub.
        private: Whether a new repository is private.
        endpoint: Address of the hub; the default of the client when None.
    """
    segmenter = described(run)
    page = segmenter.push_to_hub(repo, private=private, endpoint=endpoint)
    return _report("hub", page, segmenter, find_segmenter(run))


def described(run: Path) -> Segmenter:
    """Load the segmenter of a run, with all its evaluations on the model card."""
    segmenter_in(run)
    segmenter = Segmenter.from_pretrained(run)
    scores = scores_of(run, find_segmenter(run)) or segmenter.spec.about.get("scores", [])
    segmenter.spec = replace(segmenter.spec, about={**segmenter.spec.about, "scores": scores})
    return segmenter


def scores_of(run: Path, folder: Path) -> list[dict[str, Any]]:
    """Read the evaluations of a segmenter: those in the metrics.json of the run, and those beside its predictions.

    Args:
        run: Folder of the run.
        folder: Folder of its segmenter.
    """
    beside = sorted((folder / PREDICTIONS).glob(f"*/{SCORES}/{METRICS}"))
    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for path in [run / METRICS, *beside]:
        for entry in read_objects(path, AGAIN) if path.is_file() else []:
            if entry.get("what") == "seg":
                key = tuple(entry.get(name) for name in ("dataset", "split", "protocol", "gate", "crf"))
                found.setdefault(key, _short(entry))
    return list(found.values())


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an evaluation that the model card shows."""
    means, intervals = entry.get("scores") or {}, entry.get("intervals") or {}
    return {
        **{name: entry.get(name) for name in ("dataset", "split", "protocol", "gate", "images")},
        "crf": entry.get("crf", NONE),
        "miou": means.get("miou"),
        "miou_interval": intervals.get("miou"),
        "mean_dice": means.get("mean_dice"),
        "per_class": {name: row.get("iou") for name, row in (entry.get("per_class") or {}).items()},
    }


def _report(kind: str, target: str, segmenter: Segmenter, source: Path) -> ExportReport:
    return ExportReport(
        format=kind,
        target=target,
        classes=tuple(channel.name for channel in segmenter.spec.channels),
        scores=len(segmenter.spec.about.get("scores", ())),
        megabytes=round((source / WEIGHTS).stat().st_size / 1e6, 3),
    )
