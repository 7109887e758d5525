"""Example images of a run: the best, median and worst of a split, with their maps, masks, predictions and truth."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import ignores_background
from qaclims_path.data.pseudo import CONFIDENCE, LABELS
from qaclims_path.data.record import Record, classes_in, truth_of
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.images import read_mask
from qaclims_path.files.made_with import INDEX
from qaclims_path.files.maps import ImageMaps, MapReader
from qaclims_path.files.scores import read_scores
from qaclims_path.report.numbers import percent
from qaclims_path.report.pages import jpeg_address
from qaclims_path.report.run.evaluations import Evaluated
from qaclims_path.report.run.page import Example, ExampleGroup, Layer
from qaclims_path.report.run.pictures import SIDE, fitted, painted_doubt, painted_labels, painted_maps
from qaclims_path.report.run.scored import WHAT

EACH = 2  # images of a group
KINDS = (".png", ".npz")
IMAGE, MAP, PSEUDO, PREDICTION, SURE, TRUTH = "Image", "Map", "Pseudo mask", "Prediction", "Confidence", "Truth"
OPENS = (PREDICTION, PSEUDO, MAP)  # the first that there is, beside the image
U8 = NDArray[np.uint8]
Ranked = Sequence[tuple[str, float]]
T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """Drawn images, with notes on their choice and on unreadable files."""

    groups: tuple[ExampleGroup, ...]
    note: str
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.groups)


@dataclass(frozen=True)
class Choice:
    """Images of one split to show.

    Attributes:
        groups: Images and their mIoU (NaN where it is not known), under the title of their group.
        note: Sentence that says how the images were chosen.
        protocol: Protocol of the scores; the first of the card where there are none.
    """

    split: str
    groups: Mapping[str, Sequence[tuple[Record, float]]]
    note: str
    protocol: str


def choose_images(run: Path, root: Path, card: Card, found: Sequence[Evaluated], each: int = EACH) -> Choice | None:
    """Choose the images with the best, median and worst scores; None where the run has no maps or masks yet.

    Args:
        run: Folder of the run.
        root: Folder of the data in the publisher's layout.
        card: Card of the data set.
        found: Evaluations; the first that knows the scores of single images ranks them.
        each: Number of images per group.
    """
    ranking = next((one for one in found if any(not math.isnan(value) for value in one.images.values())), None)
    split = ranking.report.split if ranking else _split_with_maps(run, card)
    if split is None:
        return None
    records = {record.id: record for record in list_records(card, root, split)}
    if ranking is None:
        chosen = {"": [(name, math.nan) for name in _spread([*records], 3 * each)]}
        note = f"Images of '{split}', spread over the split: there is no score of single images to rank them by."
    else:
        known = [(name, value) for name, value in ranking.images.items() if name in records]
        chosen = best_median_worst(known, each)
        what = WHAT.get(ranking.report.what or "", "predictions").lower()
        note = (
            f"Images of '{split}' with the best, median and worst mIoU of the {what}, each by itself "
            f"(protocol {ranking.report.protocol}, gate {ranking.report.gate})."
        )
    groups = {title: [(records[name], value) for name, value in pairs] for title, pairs in chosen.items()}
    return Choice(split, groups, note, ranking.report.protocol if ranking else card.protocols[0])


def examples_of(run: Path, root: Path, card: Card, found: Sequence[Evaluated]) -> Chosen | None:
    """Choose images of one split and draw their layers; None if the run has nothing to draw yet.

    Args:
        run: Folder of the run.
        root: Folder of the data in the publisher's layout.
        card: Card of the data set.
        found: Evaluations that may rank the images.
    """
    choice = choose_images(run, root, card, found)
    if choice is None:
        return None
    painter = _Painter(Layers(run, card, choice.split), ignores_background(choice.protocol))
    drawn = {title: [painter.example(*one) for one in each] for title, each in choice.groups.items()}
    groups = [ExampleGroup(title, tuple(one for one in each if one)) for title, each in drawn.items()]
    return Chosen(tuple(group for group in groups if group.examples), choice.note, tuple(painter.layers.problems))


def best_median_worst(scores: Ranked, each: int) -> dict[str, list[tuple[str, float]]]:
    """Pick the names with the highest, middle and lowest scores, none twice; fewer than three make one group.

    Examples:
        >>> best_median_worst([("a", 0.1), ("b", 0.9), ("c", 0.5)], 1)
        {'Best': [('b', 0.9)], 'Median': [('c', 0.5)], 'Worst': [('a', 0.1)]}
    """
    ranked = sorted((pair for pair in scores if not math.isnan(pair[1])), key=lambda pair: (-pair[1], pair[0]))
    if len(ranked) < 3:
        return {"": ranked}
    number = min(each, len(ranked) // 3)
    middle = (len(ranked) - number) // 2
    return {
        "Best": ranked[:number],
        "Median": ranked[middle : middle + number],
        "Worst": ranked[-number:][::-1],
    }


@dataclass
class Layers:
    """Reads the maps, masks, predictions and truth of images of one split.

    Attributes:
        run: Folder of the run.
        card: Card of the data set.
        split: The split.
        problems: Sentences on missing or damaged files, once each.
    """

    run: Path
    card: Card
    split: str
    problems: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = self.run / "cams" / self.split
        self._maps = MapReader(folder) if (folder / INDEX).is_file() else None
        self._masks = _folder(self.run / "masks", self.split)
        self._predictions = _folder(self.run / "seg", self.split)
        for name, source in ((MAP, self._maps), (PSEUDO, self._masks), (PREDICTION, self._predictions)):
            if source is None:
                self.problems[f"There is no {name.lower()} of the images of '{self.split}'."] = None

    def image(self, record: Record) -> U8 | None:
        """Return pixels (H W 3)."""
        return self._try(record.image.pixels)

    def truth(self, record: Record) -> U8 | None:
        """True label indices (H W)."""
        return None if record.mask is None else self._try(lambda: truth_of(self.card, record))

    def maps(self, record: Record) -> ImageMaps | None:
        """Activation maps."""
        stored = self._maps
        return self._try(lambda: stored[record.id]) if stored is not None and record.id in stored else None

    def pseudo_mask(self, record: Record) -> U8 | None:
        """Label indices (H W) of the pseudo mask."""
        return self._labels(self._masks, record.id)

    def prediction(self, record: Record) -> U8 | None:
        """Label indices (H W) that the segmenter predicted."""
        return self._labels(self._predictions, record.id)

    def confidence(self, record: Record) -> NDArray[np.float32] | None:
        """Probability of the labels that the segmenter predicted, h w in 0..1; smaller than the image."""
        png = self._predictions / CONFIDENCE / f"{record.id}.png" if self._predictions else None
        if png is None or not png.is_file():
            return None
        return self._try(lambda: read_mask(png).astype(np.float32) / np.float32(255))

    def _labels(self, folder: Path | None, image: str) -> U8 | None:
        """Read a label map, or the highest of stored class scores."""
        if folder is None:
            return None
        png, npz = folder / f"{image}.png", folder / f"{image}.npz"
        if png.is_file():
            return self._try(lambda: self.card.decode(read_mask(png), png))
        return self._try(lambda: self._highest(npz)) if npz.is_file() else None

    def _highest(self, path: Path) -> U8:
        """Label indices of the highest scores; names that the card does not have are background."""
        found = read_scores(path)
        names = self.card.names
        indices = [names.index(name) if name in names else self.card.background_index for name in found.classes]
        labels: U8 = np.asarray(indices, np.uint8)[found.scores.argmax(axis=0)]
        return labels

    def _try(self, read: Callable[[], T]) -> T | None:
        """Read a file; note a damaged one, and return None."""
        try:
            return read()
        except QaclimsError as error:
            self.problems[str(error)] = None
            return None


@dataclass(frozen=True)
class _Painter:
    """Draws the layers of an image for a page; `ignores` says whether background of the truth does not count."""

    layers: Layers
    ignores: bool

    def example(self, record: Record, score: float) -> Example | None:
        """Draw an image in all layers it has; None if the image cannot be read."""
        pixels = self.layers.image(record)
        if pixels is None:
            return None
        picture, truth, sure = fitted(pixels), self.layers.truth(record), self.layers.confidence(record)
        drawn = {
            IMAGE: picture,
            MAP: self._map(self.layers.maps(record), picture),
            PSEUDO: self._painted(self._counted(self.layers.pseudo_mask(record), truth), picture),
            PREDICTION: self._painted(self._counted(self.layers.prediction(record), truth), picture),
            SURE: None if sure is None else painted_doubt(picture, sure, len(self.layers.card.classes)),
            TRUTH: self._painted(truth, picture),
        }
        layers = tuple(
            Layer(name, jpeg_address(layer, SIDE), _alt(name, record.id))
            for name, layer in drawn.items()
            if layer is not None
        )
        card = self.layers.card
        present = record.present if record.present is not None or truth is None else classes_in(card, truth)
        caption = [] if math.isnan(score) else [f"mIoU {percent(score)} %"]
        caption += [] if sure is None else [f"mean confidence {100 * sure.mean():.0f} %"]
        caption += [", ".join(card.classes[index].title for index in present)] if present else []
        opens = next((name for name in OPENS if drawn[name] is not None), "")
        return Example(record.id, " · ".join(caption), (picture.shape[1], picture.shape[0]), layers, opens)

    def _map(self, stored: ImageMaps | None, picture: U8) -> U8 | None:
        return None if stored is None else painted_maps(picture, stored.maps, stored.classes, self.layers.card.palette)

    def _counted(self, labels: U8 | None, truth: U8 | None) -> U8 | None:
        """Leave out pixels that do not count, such as glass, where the truth is known."""
        if labels is None or truth is None or labels.shape != truth.shape:
            return labels
        left_out = (truth == IGNORE) | (self.ignores & (truth == self.layers.card.background_index))
        return np.where(left_out, np.uint8(IGNORE), labels)

    def _painted(self, labels: U8 | None, picture: U8) -> U8 | None:
        card = self.layers.card
        hidden = range(len(card.classes), 256) if card.domain == "natural" else (IGNORE,)
        return None if labels is None else painted_labels(picture, labels, card.palette, hidden)


def _alt(layer: str, image: str) -> str:
    return {
        IMAGE: f"The image {image}",
        MAP: f"{image} under its activation maps: the strongest class in its colour",
        PSEUDO: f"{image} under its pseudo mask",
        PREDICTION: f"{image} under the segmenter's prediction",
        SURE: f"{image}, coloured where the segmenter is unsure",
        TRUTH: f"{image} under its true classes",
    }[layer]


def _folder(stage: Path, split: str) -> Path | None:
    """Find the folder with the label maps of a split below the folder of a stage."""
    candidates = (stage / split / LABELS, stage / "predictions" / split, stage / split)
    return next((folder for folder in candidates if any(path.suffix in KINDS for path in folder.glob("*.*"))), None)


def _split_with_maps(run: Path, card: Card) -> str | None:
    """Find the first split of the card that has maps or masks."""
    for split in card.splits:
        if (run / "cams" / split / INDEX).is_file() or _folder(run / "masks", split) or _folder(run / "seg", split):
            return split
    return None


def _spread(names: Sequence[str], number: int) -> list[str]:
    if not names:
        raise UsageError("The split has no images.")
    indices = np.unique(np.linspace(0, len(names) - 1, min(number, len(names))).round().astype(int))
    return [names[index] for index in indices]
