"""The first thing a new user runs: a phantom data set made, checked and scored.

Until the demo of the whole method is delivered, what is scored is a colour baseline, and the output says so.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record
from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.images import write_mask
from qaclims_path.files.progress import track
from qaclims_path.recipes.check import CheckReport, check
from qaclims_path.recipes.evaluate import evaluate
from qaclims_path.recipes.fake import make_fake
from qaclims_path.report.evaluation import EvaluationReport

SMOOTHING_PX = 15
MARKER = ".qaclims-demo"


@dataclass(frozen=True)
class DemoReport:
    """What the demo made and where it lies."""

    data: Path
    predictions: Path
    metrics: Path
    check: CheckReport
    scores: EvaluationReport

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        places = {name: str(getattr(self, name)) for name in ("data", "predictions", "metrics")}
        return {**places, "check": asdict(self.check), "scores": self.scores.as_json()}


def demo(out: Path, *, quick: bool = False, seed: int = 0) -> DemoReport:
    """Make phantom tiles, check them, predict the validation split from colour alone, and score that.

    Args:
        out: Folder for everything the demo writes; data made by an earlier demo with the same options is used again.
        quick: Fewer tiles.
        seed: Of the phantom.
    """
    card = load_card("phantom")
    data, predictions, metrics = out / "data", out / "predictions", out / "scores"
    _make_data(card, data, out / MARKER, quick=quick, seed=seed)
    checked = check(card, data)
    if not checked.passed:
        raise QaclimsError(f"The phantom data in {data} is damaged. Remove {out} and run the demo again.")
    colors = class_colors(card, list_records(card, data, "train"))
    for record in track(list_records(card, data, "val"), "predicting from colour"):
        labels = nearest_color(record.image.pixels(), colors)
        write_mask(predictions / f"{record.id}.png", card.encode(labels), card.code_palette)
    scores = evaluate(predictions, card, data, "val", out=metrics, what="masks", made_with_gate="none")
    return DemoReport(data, predictions, metrics, checked, scores)


def _make_data(card: Card, data: Path, marker: Path, *, quick: bool, seed: int) -> None:
    """Make the data once; another demo's data in the same place is not mixed with."""
    options = f"seed {seed}, {'quick' if quick else 'full'}\n"
    if not data.exists():
        make_fake(card, data, images=24 if quick else 96, seed=seed, slides=1, slide_size=2048 if quick else 8192)
        write_text(marker, options)
    elif not marker.is_file() or marker.read_text(encoding="utf-8") != options:
        raise QaclimsError(f"{data} was made with other options. Choose another --out, or remove that folder.")


def class_colors(card: Card, records: list[Record]) -> NDArray[np.float64]:
    """Mean colour (C 3) of the tissue in training tiles that hold a class; no mask is read.

    A tile with k classes counts 1 / k² for each: the fewer there are, the more its colour says about them.
    """
    sums = np.zeros((len(card.classes), 3))
    weights = np.zeros(len(card.classes))
    for record in track(records, "learning colours"):
        tissue = _tissue(record.image.pixels())
        held = list(record.present or ())
        if len(tissue) and held:
            sums[held] += tissue.mean(axis=0) / len(held) ** 2
            weights[held] += 1 / len(held) ** 2
    if (weights == 0).any():
        missing = ", ".join(np.array(card.names)[weights == 0])
        raise QaclimsError(f"No training tile holds {missing}, so its colour cannot be learnt. Make more tiles.")
    return sums / weights[:, None]


def nearest_color(image: NDArray[np.uint8], colors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Label every pixel (H W 3) with the class whose mean colour is nearest to that of its surroundings."""
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(image.astype(np.float32), size=(SMOOTHING_PX, SMOOTHING_PX, 1))
    distance = ((smooth[:, :, None] - colors.astype(np.float32)) ** 2).sum(axis=-1)
    labels: NDArray[np.uint8] = distance.argmin(axis=-1).astype(np.uint8)
    return labels


def _tissue(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The coloured pixels (N 3) of H W 3; glass is nearly grey and bright."""
    pixels = image.reshape(-1, 3)
    chroma = pixels.max(axis=1) - pixels.min(axis=1)
    colored: NDArray[np.uint8] = pixels[chroma > 20]
    return colored
