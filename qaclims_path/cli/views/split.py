"""Tables of the commands that go through a split."""

from typing import TYPE_CHECKING, TypeVar

from qaclims_path.cli.views.console import facts, print_json, print_parts
from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from qaclims_path.pipeline.cam.maps import CamsReport
    from qaclims_path.pipeline.masks.make import MasksReport
    from qaclims_path.pipeline.segmenter.predict import PredictReport
    from qaclims_path.report.evaluation import EvaluationReport

SHOWN = 5
R = TypeVar("R", "CamsReport", "MasksReport", "PredictReport")


def show_split(
    report: R, scores: "EvaluationReport | None", tables: "Callable[[R], list[RenderableType]]", *, as_json: bool
) -> None:
    """Print the report of a stage and its scores, as tables or as JSON."""
    if as_json:
        print_json({**report.as_json(), "scores": scores.as_json() if scores else None})
    else:
        print_parts([*tables(report), *(score_tables(scores) if scores else ())])


def split_parts(
    report: "CamsReport | MasksReport | PredictReport",
    made: str,
    rows: dict[str, str],
    place: dict[str, str],
    notes: tuple[str, ...] = (),
) -> "list[RenderableType]":
    """Facts about the result of a stage, and what failed."""
    from rich.text import Text

    new = report.images - report.kept
    images = f"{report.images}" + (f" ({report.kept} from an earlier command)" if report.kept else "")
    time = f"{report.seconds:.1f} s" + (f", {new / report.seconds:.2f} images/s" if new else "")
    title = f"{made.capitalize()} of {report.dataset}, split {report.split}"
    shown: list[RenderableType] = [facts(title, {"images": images, **rows, "time": time, **place}), *map(Text, notes)]
    if report.failed:
        some = [f"  {name}: {why}" for name, why in list(report.failed.items())[:SHOWN]]
        more = [f"  and {len(report.failed) - SHOWN} more in index.json"] if len(report.failed) > SHOWN else []
        shown.append(Text("\n".join([f"{len(report.failed)} images have no {made}:", *some, *more])))
    return shown


def predict_tables(report: "PredictReport") -> "list[RenderableType]":
    """Facts about predicted labels, and what failed."""
    return split_parts(report, "labels", {"precision": report.precision}, {"folder": report.folder}, report.notes)


def cams_tables(report: "CamsReport") -> "list[RenderableType]":
    """Facts about maps, and what failed."""
    rows = {
        "classes": {"oracle": "present (gate oracle)", "predicted": "predicted (gate predicted)"}.get(
            report.gate, "all (gate none)"
        ),
        "scales": ", ".join(f"{scale:g}" for scale in report.scales) + ", each with its mirror image",
        "precision": report.precision,
    }
    return split_parts(report, "maps", rows, {"on disk": f"{report.megabytes:.1f} MB in {report.folder}"})


def masks_tables(report: "MasksReport") -> "list[RenderableType]":
    """Facts about masks, and what failed."""
    rows = {
        "refiner": report.refiner,
        "maps of": {"oracle": "present classes (gate oracle)", "predicted": "predicted classes (gate predicted)"}.get(
            report.gate, "all classes (gate none)"
        ),
        "background": _threshold(report),
        "left out of training": f"{report.ignored:.1%} of a new image",
    }
    return split_parts(report, "masks", rows, {"folder": report.folder})


def _threshold(report: "MasksReport") -> str:
    if report.thresholds is None:
        return "never, the highest map wins"
    low, high = report.thresholds
    return f"up to {low:g}" if low == high else f"up to {low:g}..{high:g}, fitted on other images"
