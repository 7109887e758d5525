"""Sources of predictions: a folder of label maps or class scores, a folder of stored maps, and arrays."""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qaclims_path.data.finest import finest
from qaclims_path.data.split import SplitData
from qaclims_path.errors import PredictionProblem
from qaclims_path.files.folders import list_files
from qaclims_path.files.images import image_size, read_mask
from qaclims_path.files.json_files import read_object
from qaclims_path.files.maps import SETTINGS, MapReader
from qaclims_path.files.scores import ClassScores, check_scores, read_scores
from qaclims_path.models.segmenters.crf import NONE
from qaclims_path.pipeline.evaluation.predictions import SHOWN, Codes, Kind, Predictions, Unfit, check_size

MAP_SUFFIXES = (".png", ".ome.tif", ".ome.tiff", ".tif", ".tiff")
SCORE_SUFFIX = ".npz"
PREDICTED = "predictions.json"  # the options of predictions
REMEDY = "Remove the folder, and run the same command again."
ALL = (*MAP_SUFFIXES, SCORE_SUFFIX)


def open_predictions(folder: Path, split: SplitData) -> Predictions:
    """Match the predictions in a folder with the images of a split.

    Args:
        folder: Label maps, class scores, or maps as `qaclims cams` stores them.
        split: A split with masks; a prediction for an image without a mask is not in the way.
    """
    return StoredMaps(MapReader(folder), split) if (folder / SETTINGS).is_file() else PredictionFiles(folder, split)


class PredictionFiles:
    """A file for each image, named like the image: label maps, or class scores as `.npz`."""

    def __init__(self, folder: Path, split: SplitData) -> None:
        wanted = [record.id for record in split.scored_records()]
        names = _list_predictions(folder)
        self.folder = folder
        self.are_scores = names[0].lower().endswith(SCORE_SUFFIX)
        self.crf = crf_of(folder)
        self.strays: list[tuple[Kind, str]] = []
        self._paths: dict[str, Path] = {}
        ids = {_key(record.id): record.id for record in split.records}
        for name in names:
            image = ids.get(_key(_without_suffix(name)))
            if image is None:
                self.strays.append(("extra", name))
            elif image in self._paths:
                self.strays.append(("twice", f"{self._paths[image].name} and {name}"))
            else:
                self._paths[image] = folder / name
        _check_any(self, wanted, names, Path(names[0]).suffix)

    def __contains__(self, image: object) -> bool:
        return image in self._paths

    def title(self, image: str) -> str:
        """Name of the file."""
        return self._paths[image].name

    def read(self, image: str, truth_shape: tuple[int, ...]) -> Codes | ClassScores:
        """Read the file; the header of a PNG is enough to refuse a wrong size."""
        path = self._paths[image]
        if self.are_scores:
            return read_scores(path)
        if path.suffix.lower() == ".png":
            width, height = image_size(path)
            check_size(path.name, (height, width), truth_shape)
        return read_mask(path)


class StoredMaps:
    """Maps of a network as class scores, as `qaclims cams` stores them; on the network's cells where it kept these."""

    are_scores = True
    crf = NONE

    def __init__(self, reader: MapReader, split: SplitData) -> None:
        known = {record.id for record in split.records}
        self.folder, self._reader = reader.folder, reader
        self.strays: list[tuple[Kind, str]] = [("extra", image) for image in reader.images if image not in known]
        _check_any(self, [record.id for record in split.scored_records()], reader.images, "")

    def __contains__(self, image: object) -> bool:
        return image in self._reader

    def title(self, image: str) -> str:
        """Name of the image."""
        return image

    def read(self, image: str, truth_shape: tuple[int, ...]) -> ClassScores:  # noqa: ARG002 - as files are read
        """Read the maps of one image as float32."""
        stored = self._reader[image]
        classes = [self._reader.classes[label] for label in stored.classes]
        return check_scores(self.folder / image, finest(stored), classes, stored.size)


class LabelArrays:
    """Labels in memory, H W class indices by image name; background is one after the last class, 255 is ignored."""

    are_scores = False
    crf = NONE
    folder = Path("memory")

    def __init__(self, labels: Mapping[str, ArrayLike], split: SplitData) -> None:
        known = {record.id for record in split.records}
        self._labels, self._card = {name: _labels_of(name, each) for name, each in labels.items()}, split.card
        self.strays: list[tuple[Kind, str]] = [("extra", name) for name in labels if name not in known]
        _check_any(self, [record.id for record in split.scored_records()], labels, "")

    def __contains__(self, image: object) -> bool:
        return image in self._labels

    def title(self, image: str) -> str:
        """Name of the image."""
        return image

    def read(self, image: str, truth_shape: tuple[int, ...]) -> Codes:  # noqa: ARG002 - as files are read
        """Return the labels of one image as codes of the card."""
        labels, card = self._labels[image], self._card
        codes = card.encode(labels.clip(0, 255).astype(np.uint8))
        wrong = labels[card.decoder[codes] != labels]
        if wrong.size:
            known = ", ".join(f"{index} {name}" for index, name in enumerate(card.names))
            raise Unfit("wrong codes", f"{image} holds the label {wrong[0]}, but the classes are {known}")
        return codes


def crf_of(folder: Path) -> str:
    """Name of the dense CRF of the predictions in a folder that `qaclims predict` wrote; `none` for other folders."""
    note = folder / PREDICTED
    return str(read_object(note, REMEDY).get("crf", NONE)) if note.is_file() else NONE


def _labels_of(image: str, labels: ArrayLike) -> NDArray[np.integer]:
    found = np.asarray(labels)
    if found.ndim != 2 or found.dtype.kind not in "ui":
        raise PredictionProblem(
            f"The prediction of '{image}' is an array of {found.dtype} of shape {found.shape}; it should hold class "
            "indices (integers) of shape (height, width)."
        )
    return found


def _list_predictions(folder: Path) -> list[str]:
    """Return names of the prediction files of a folder, all of one kind."""
    names = list_files(folder, ALL)
    if not names:
        inner = [str(each) for each in sorted(folder.iterdir()) if each.is_dir() and list_files(each, ALL)]
        raise PredictionProblem(
            f"{folder} holds no predictions: neither label maps (.png, .tif) nor scores (.npz)."
            + (f" Such files are in {', '.join(inner[:SHOWN])}." if inner else "")
        )
    if len({name.lower().endswith(SCORE_SUFFIX) for name in names}) > 1:
        raise PredictionProblem(f"{folder} holds both label maps and class scores (.npz). Keep one kind in a folder.")
    return names


def _check_any(source: Predictions, wanted: list[str], names: Iterable[str], suffix: str) -> None:
    """Refuse predictions of other images."""
    if any(image in source for image in wanted):
        return
    names = list(names)
    example = f"; one of them is {names[0]}" if names else ""
    raise PredictionProblem(
        f"None of the {len(names)} predictions in {source.folder} is named like an image of the split, "
        f"for example {wanted[0]}{suffix}{example}."
    )


def _without_suffix(name: str) -> str:
    lower = name.lower()
    suffix = next(suffix for suffix in ALL if lower.endswith(suffix))
    return name[: -len(suffix)]


def _key(name: str) -> str:
    """One Unicode spelling, so that names written by two systems match."""
    return unicodedata.normalize("NFC", name)
