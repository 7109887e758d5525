"""How the commands that go through a split show what they made."""

from typing import TYPE_CHECKING

from qaclims_path.cli.show import facts
from qaclims_path.report.scores import score_tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qaclims_path.recipes.cams import CamsReport
    from qaclims_path.recipes.masks import MasksReport
    from qaclims_path.recipes.predict_seg import PredictReport

SHOWN = 5


def split_parts(
    report: "CamsReport | MasksReport | PredictReport",
    made: str,
    rows: dict[str, str],
    place: dict[str, str],
    notes: tuple[str, ...] = (),
) -> "list[RenderableType]":
    """What was made, with rows of its own and where it lies, what failed, and the scores."""
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
    return shown + (list(score_tables(report.scores)) if report.scores else [])
