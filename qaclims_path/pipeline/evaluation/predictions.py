"""Predictions on disk: found by name, checked one by one, all problems reported together."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.gates import gated, label_map
from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.record import Record
from qaclims_path.errors import BadFile, PredictionProblem
from qaclims_path.files.folders import list_files
from qaclims_path.files.images import image_size, read_mask
from qaclims_path.files.scores import read_scores

MAP_SUFFIXES = (".png", ".ome.tif", ".ome.tiff", ".tif", ".tiff")
SCORE_SUFFIX = ".npz"
ALL = (*MAP_SUFFIXES, SCORE_SUFFIX)
SHOWN = 10

Kind = Literal["missing", "extra", "twice", "wrong size", "wrong codes", "wrong classes", "wrong scores", "unreadable"]


@dataclass(frozen=True)
class Found:
    """Predictions of a folder by the id of their image, and whether they are label maps or class scores."""

    paths: dict[str, Path]
    are_scores: bool


@dataclass(frozen=True)
class Prediction:
    """One prediction, ready to be counted.

    Attributes:
        labels: H W label indices.
        scores: K H W, the class scores behind it, gated, where there are any.
        channels: Label index of each score map.
    """

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32] | None = None
    channels: tuple[int, ...] = ()


class Problems:
    """Collects what is wrong, keeping the first few of each kind and a count."""

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
        """Raise one error that lists everything, if there is anything."""
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


class Unfit(Exception):
    """A prediction that cannot be scored, and how."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def find_predictions(
    folder: Path, wanted: Sequence[Record], known: Iterable[Record], problems: Problems, *, allow_missing: bool
) -> Found:
    """Match the files of a folder with the images to be scored, by name without suffix.

    Args:
        folder: Where the predictions lie.
        wanted: Images that are scored.
        known: All images of the split; a prediction for one without a truth is not in the way.
        problems: Gets what is missing, extra or there twice.
        allow_missing: Whether missing ones are no problem.
    """
    names = list_files(folder, ALL)
    if not names:
        inner = [str(place) for place in sorted(folder.iterdir()) if place.is_dir() and list_files(place, ALL)]
        raise PredictionProblem(
            f"{folder} holds no predictions: neither label maps (.png, .tif) nor scores (.npz)."
            + (f" Such files are in {', '.join(inner[:SHOWN])}." if inner else "")
        )
    kinds = {name.lower().endswith(SCORE_SUFFIX) for name in names}
    if len(kinds) > 1:
        raise PredictionProblem(f"{folder} holds both label maps and class scores (.npz). Keep one kind in a folder.")
    ids = {_key(record.id): record.id for record in known}
    paths: dict[str, Path] = {}
    for name in names:
        image = ids.get(_key(_without_suffix(name)))
        if image is None:
            problems.add("extra", name)
        elif image in paths:
            problems.add("twice", f"{paths[image].name} and {name}")
        else:
            paths[image] = folder / name
    if not any(record.id in paths for record in wanted):
        raise PredictionProblem(
            f"None of the {len(names)} predictions in {folder} is named like an image of the split, "
            f"for example {wanted[0].id}{Path(names[0]).suffix}; one of them is {names[0]}."
        )
    for record in wanted if not allow_missing else ():
        if record.id not in paths:
            problems.add("missing", record.id)
    return Found(paths, are_scores=kinds == {True})


def read_prediction(
    path: Path, card: Card, rules: Protocol, truth_shape: tuple[int, ...], allowed: NDArray[np.bool_] | None
) -> Prediction:
    """Read one prediction at the size of its truth.

    Args:
        path: A label map or class scores.
        card: Whose codes and class names are used.
        rules: How class scores become labels.
        truth_shape: Height and width.
        allowed: C, bool: the gate of the image, or None for none. Label maps have no gate.
    """
    try:
        if path.suffix.lower() != SCORE_SUFFIX:
            return Prediction(_read_labels(path, card, truth_shape))
        return _read_scores(path, card, rules, truth_shape, allowed)
    except BadFile as error:
        raise Unfit("unreadable", str(error).removesuffix(".")) from error


def _read_labels(path: Path, card: Card, truth_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if path.suffix.lower() == ".png":  # the header is enough to refuse a wrong size
        width, height = image_size(path)
        _same_size(path, (height, width), truth_shape)
    codes = read_mask(path)
    _same_size(path, codes.shape, truth_shape)
    try:
        return card.decode(codes, path.name)
    except BadFile as error:
        raise Unfit("wrong codes", str(error).removesuffix(".")) from error


def _read_scores(
    path: Path, card: Card, rules: Protocol, truth_shape: tuple[int, ...], allowed: NDArray[np.bool_] | None
) -> Prediction:
    stored = read_scores(path)
    _same_size(path, stored.size, truth_shape)
    index = {**{name: i for i, name in enumerate(card.names)}, BACKGROUND_NAME: card.background_index}
    strange = [name for name in stored.classes if name not in index]
    if strange:
        raise Unfit("wrong classes", f"{path.name} scores {', '.join(strange)}, which '{card.name}' does not have")
    order = sorted(range(len(stored.classes)), key=lambda k: index[stored.classes[k]])
    channels = [index[stored.classes[k]] for k in order]
    scores = stored.scores[order]
    if rules.background_power is not None and card.background_index not in channels:
        _within_one(path, scores)
    if allowed is not None:
        scores, channels = gated(scores, channels, allowed)
    scores = resize_bilinear(scores, *stored.size)
    labels = label_map(
        scores,
        channels,
        card.background_index,
        predict_background=rules.predict_background,
        map_threshold=rules.map_threshold,
        background_power=rules.background_power,
    )
    return Prediction(labels, scores, tuple(channels))


def _within_one(path: Path, scores: NDArray[np.float32]) -> None:
    if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
        raise Unfit("wrong scores", f"{path.name} has scores outside 0..1, from which no background score can be made")


def _same_size(path: Path, shape: tuple[int, ...], truth_shape: tuple[int, ...]) -> None:
    if shape != truth_shape:
        raise Unfit(
            "wrong size",
            f"{path.name} is {shape[1]} x {shape[0]} pixels and its truth {truth_shape[1]} x {truth_shape[0]}",
        )


def _without_suffix(name: str) -> str:
    lower = name.lower()
    suffix = next(suffix for suffix in ALL if lower.endswith(suffix))
    return name[: -len(suffix)]


def _key(name: str) -> str:
    """One Unicode spelling, so that names written by two systems match."""
    return unicodedata.normalize("NFC", name)
