"""A prediction: read from a source as stored, turned into labels at the size of the truth, or refused."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.data import protocol
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.errors import BadFile, PredictionProblem
from qaclims_path.files.scores import ClassScores

SHOWN = 10
Refine = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Kind = Literal["missing", "extra", "twice", "wrong size", "wrong codes", "wrong classes", "wrong scores", "unreadable"]
Codes = NDArray[np.uint8]


class Predictions(Protocol):
    """Predictions of a split, read one at a time and from several threads.

    Attributes:
        folder: Folder of the predictions.
        are_scores: Whether they are class scores instead of label maps.
        crf: Dense CRF that refined them when they were made, as far as is known, or `none`.
    """

    folder: Path
    are_scores: bool
    crf: str

    @property
    def strays(self) -> Sequence[tuple[Kind, str]]:
        """Predictions that match no image of the split, or an image that has a prediction already."""
        ...

    def __contains__(self, image: object) -> bool:
        """Return whether an image has a prediction."""
        ...

    def title(self, image: str) -> str:
        """Name of the prediction of an image in messages."""
        ...

    def read(self, image: str, truth_shape: tuple[int, ...]) -> Codes | ClassScores:
        """Read one prediction: H W codes of the card, or class scores.

        Raises:
            BadFile: It cannot be read.
            Unfit: It has not the size of the truth.
        """
        ...


@dataclass(frozen=True)
class Prediction:
    """One prediction at the size of its truth.

    Attributes:
        labels: H W label indices.
        scores: K H W, the gated class scores that the labels come from, or None.
        channels: Label index of each score map.
    """

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32] | None = None
    channels: tuple[int, ...] = ()


class Unfit(Exception):
    """A prediction that cannot be scored, with the kind of problem."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Problems:
    """Collects problems of predictions: the first few of each kind, and a count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shown: dict[Kind, list[str]] = defaultdict(list)
        self._count: dict[Kind, int] = defaultdict(int)

    def add(self, kind: Kind, text: str) -> None:
        """Note one problem."""
        self._count[kind] += 1
        if len(self._shown[kind]) < SHOWN:
            self._shown[kind].append(text)

    def __bool__(self) -> bool:
        return bool(self._count)

    def refuse(self) -> None:
        """Raise one error that lists all problems, if there are any."""
        if not self._count:
            return
        listed = []
        for kind, count in self._count.items():
            more = ", ..." if count > SHOWN else ""
            listed.append(f"{kind} ({count}): {', '.join(self._shown[kind])}{more}")
        hint = " To count missing ones as wrong, add --allow-missing." if "missing" in self._count else ""
        raise PredictionProblem(
            f"Nothing was scored, because predictions in {self.folder} do not fit: {'; '.join(listed)}.{hint}"
        )


def read_prediction(
    source: Predictions,
    image: str,
    card: Card,
    rules: protocol.Protocol,
    truth_shape: tuple[int, ...],
    allowed: NDArray[np.bool_] | None,
    refine: Refine | None = None,
) -> Prediction:
    """Read one prediction at the size of its truth.

    Args:
        source: Predictions of the split.
        image: Name of the image.
        card: Gives codes and class names.
        rules: Protocol that turns class scores into labels.
        truth_shape: Height and width.
        allowed: C, bool: the gate of the image, or None for none. Label maps have no gate.
        refine: Refines probabilities (K H W), which the gate has acted on.
    """
    try:
        stored = source.read(image, truth_shape)
    except BadFile as error:
        raise Unfit("unreadable", str(error).removesuffix(".")) from error
    title = source.title(image)
    if isinstance(stored, ClassScores):
        check_size(title, stored.size, truth_shape)
        return _from_scores(title, stored, card, rules, allowed, refine)
    check_size(title, stored.shape, truth_shape)
    try:
        return Prediction(card.decode(stored, title))
    except BadFile as error:
        raise Unfit("wrong codes", str(error).removesuffix(".")) from error


def check_size(title: str, shape: tuple[int, ...], truth_shape: tuple[int, ...]) -> None:
    """Refuse a prediction whose height and width are not those of its truth."""
    if shape != truth_shape:
        raise Unfit(
            "wrong size",
            f"{title} is {shape[1]} x {shape[0]} pixels and its truth {truth_shape[1]} x {truth_shape[0]}",
        )


def _from_scores(
    title: str,
    stored: ClassScores,
    card: Card,
    rules: protocol.Protocol,
    allowed: NDArray[np.bool_] | None,
    refine: Refine | None,
) -> Prediction:
    """Return the order the classes as on the card, gate them, resize the maps and take labels from them."""
    from qaclims_path.compute.gates import gated, label_map  # compiled loops, which take a second to import

    index = {**{name: i for i, name in enumerate(card.names)}, BACKGROUND_NAME: card.background_index}
    unknown = [name for name in stored.classes if name not in index]
    if unknown:
        raise Unfit("wrong classes", f"{title} scores {', '.join(unknown)}, which '{card.name}' does not have")
    order = sorted(range(len(stored.classes)), key=lambda k: index[stored.classes[k]])
    channels = [index[stored.classes[k]] for k in order]
    scores = stored.scores[order]
    if rules.background_power is not None and card.background_index not in channels:
        _check_range(title, scores)
    if refine is not None:
        _check_shares(title, scores)
    if allowed is not None:
        scores, channels = gated(scores, channels, allowed)
    scores = resize_bilinear(scores, *stored.size)
    if refine is not None:
        scores = refine(scores)
    labels = label_map(
        scores,
        channels,
        card.background_index,
        predict_background=rules.predict_background,
        map_threshold=rules.map_threshold,
        background_power=rules.background_power,
    )
    return Prediction(labels, scores, tuple(channels))


def _check_range(title: str, scores: NDArray[np.float32]) -> None:
    if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
        raise Unfit("wrong scores", f"{title} has scores outside 0..1, from which no background score can be made")


def _check_shares(title: str, scores: NDArray[np.float32]) -> None:
    """Refuse scores that are no probabilities, such as maps of a network, where a dense CRF is asked for."""
    from qaclims_path.compute.blending import SUM_MARGIN  # compiled loops

    if scores.size and not np.abs(scores.sum(axis=0) - 1).max() <= SUM_MARGIN:
        raise Unfit(
            "wrong scores", f"{title} has scores that do not add up to 1 over the classes, which a dense CRF needs"
        )
