"""Figures of a run for a paper, drawn into its folder `figures`."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qaclims_path.data.card import IGNORE, Card
from qaclims_path.pipeline.run.examples import PREDICTION, PSEUDO, TRUTH, Layers, choose_images
from qaclims_path.report.example_figure import Pictured, example_figure
from qaclims_path.report.figures import comparable, curve_figure, score_figure, table_figure, write_figures
from qaclims_path.report.run.curves import Log
from qaclims_path.report.run.evaluations import Evaluated
from qaclims_path.report.run.scored import scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"


def draw_figures(
    run: Path, root: Path | None, card: Card | None, found: Sequence[Evaluated], logs: Sequence[Log]
) -> tuple[Path, ...]:
    """Draw all figures that a run has scores, logs or masks for.

    Args:
        run: Folder of the run.
        root: Folder of the data in the publisher's layout; None draws no examples.
        card: Card of the data set, for names and colours; None if it is not known.
        found: Evaluations.
        logs: Logs of trainings.
    """
    drawings: dict[str, Callable[[], Figure]] = {}
    for name, group in comparable([scored(each.report, card) for each in found]).items():
        drawings |= {f"scores-{name}": partial(score_figure, group), f"table-{name}": partial(table_figure, group)}
    if any(log.points("loss") or log.points("epoch/loss") for log in logs):
        drawings["curves"] = partial(curve_figure, logs)
    rows = _examples(run, root, card, found) if root and card else ()
    if rows and card:
        drawings["examples"] = partial(example_figure, rows, _names(card), card.palette)
    return write_figures(run / FOLDER, drawings)


def _examples(run: Path, root: Path, card: Card, found: Sequence[Evaluated]) -> tuple[Pictured, ...]:
    """Read the best, median and worst image, with truth and prediction, or the pseudo mask where none is predicted."""
    choice = choose_images(run, root, card, found, each=1)
    if choice is None:
        return ()
    layers = Layers(run, card, choice.split)
    rows = []
    for title, images in choice.groups.items():
        for record, score in images:
            pixels, predicted = layers.image(record), layers.prediction(record)
            name, mask = (PSEUDO, layers.pseudo_mask(record)) if predicted is None else (PREDICTION, predicted)
            masks = {kind: each for kind, each in ((TRUTH, layers.truth(record)), (name, mask)) if each is not None}
            caption = [title] * bool(title) + ([] if math.isnan(score) else [f"mIoU {100 * score:.1f} %"])
            if pixels is not None and masks:
                rows.append(Pictured(", ".join(caption), pixels, masks))
    return tuple(rows)


def _names(card: Card) -> dict[int, str]:
    """Return titles of all label indices that a mask may hold."""
    background = card.background.display if card.background else "background"
    titles = (*(info.title for info in card.classes), background)
    return {**dict(enumerate(titles)), IGNORE: "not scored"}
