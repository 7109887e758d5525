"""Show the maps, masks and labels that were made for a split."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from rich.console import RenderableType
from rich.text import Text

from qaclims_path.cli.views.console import show
from qaclims_path.cli.views.tables import facts
from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from qaclims_path.pipeline.cam.maps import CamsReport
    from qaclims_path.pipeline.masks.make import MasksReport
    from qaclims_path.pipeline.segmenter.predict import PredictReport
    from qaclims_path.report.evaluation import EvaluationReport

SHOWN = 5
GATES = {"oracle": "present classes (gate oracle)", "predicted": "predicted classes (gate predicted)"}

R = TypeVar("R", "CamsReport", "MasksReport", "PredictReport")


def show_split(
    report: R, scores: "EvaluationReport | None", view: Callable[[R], Iterator[RenderableType]], *, as_json: bool
) -> None:
    """Show the report of a stage together with its scores."""
    parts = chain(view(report), scores_view(scores) if scores else ())
    show({**report.as_json(), "scores": scores}, lambda _: parts, as_json=as_json, failed=report.failed)


def scores_view(report: "EvaluationReport") -> Iterator[RenderableType]:
    """Tables of scores with a line between them."""
    for part in score_tables(report):
        yield part
        yield Text()


def cams_view(report: "CamsReport") -> Iterator[RenderableType]:
    """Activation maps, and failures."""
    rows = {
        "maps of": GATES.get(report.gate, "all classes (gate none)"),
        "scales": ", ".join(f"{scale:g}" for scale in report.scales) + ", each with its mirror image",
        "precision": report.precision,
    }
    return _view(report, "maps", rows, {"on disk": f"{report.megabytes:.1f} MB in {report.folder}"})


def masks_view(report: "MasksReport") -> Iterator[RenderableType]:
    """Pseudo masks, and failures."""
    rows = {
        "refiner": report.refiner,
        "maps of": GATES.get(report.gate, "all classes (gate none)"),
        "background": _threshold(report),
        "left out of training": f"{report.ignored:.1%} of a new image",
    }
    return _view(report, "masks", rows, {"folder": report.folder})


def predict_view(report: "PredictReport") -> Iterator[RenderableType]:
    """Labels of a segmenter, and failures."""
    rows = {"precision": report.precision, "dense CRF": report.crf}
    return _view(report, "labels", rows, {"folder": report.folder}, report.notes)


def _view(
    report: "CamsReport | MasksReport | PredictReport",
    made: str,
    rows: Mapping[str, str],
    where: Mapping[str, str],
    notes: tuple[str, ...] = (),
) -> Iterator[RenderableType]:
    new = report.images - report.kept
    images = f"{report.images}" + (f" ({report.kept} from an earlier command)" if report.kept else "")
    time = f"{report.seconds:.1f} s" + (f", {new / report.seconds:.2f} images/s" if new else "")
    title = f"{made.capitalize()} of {report.dataset}, split {report.split}"
    yield facts(title, {"images": images, **rows, "time": time, **where})
    yield from map(Text, notes)
    if report.failed:
        yield Text(f"{len(report.failed)} images have no {made}:")
        yield from (Text(f"  {name}: {reason}") for name, reason in list(report.failed.items())[:SHOWN])
    if len(report.failed) > SHOWN:
        yield Text(f"  and {len(report.failed) - SHOWN} more in index.json")


def _threshold(report: "MasksReport") -> str:
    if report.thresholds is None:
        return "never, the highest map wins"
    low, high = report.thresholds
    return f"up to {low:g}" if low == high else f"up to {low:g}..{high:g}, fitted on other images"
