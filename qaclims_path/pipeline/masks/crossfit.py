"""A threshold for every image, fitted on the images of all other patients."""

from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.compute.scores import score
from qaclims_path.compute.sweep import Sweep
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.record import Record, truth_of
from qaclims_path.data.split import SplitData
from qaclims_path.errors import UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track


def crossfitted(reader: MapReader, split: SplitData) -> Mapping[str, float]:
    """Fit the threshold of each image: the one with the best mean IoU of the unrefined maps of all other patients.

    Where patients are not known, the other images are used. Maps are read twice, so that memory does not grow with the
    images.

    Args:
        reader: Maps of the split.
        split: Images with masks, under a protocol that predicts background.
    """
    card, rules = split.card, split.rules
    ready = sorted((record for record in split.records if record.id in reader), key=_owner)
    groups = [(owner, list(members)) for owner, members in groupby(ready, _owner)]
    if len(groups) < 2:
        raise UsageError("A threshold cannot be fitted on other patients, because there is only one.")
    thresholds, everybody = _matrices(reader, card, track(ready, "fitting"))
    names = (*card.names, BACKGROUND_NAME) if rules.background == "score" else card.names
    headline = [names.index(name) for name in rules.mean_over or names]
    found: dict[str, float] = {}
    for _, members in track(groups, "leaving out"):
        others = everybody - _matrices(reader, card, iter(members))[1]
        miou = np.nan_to_num(score(others, rules.background, headline).miou, nan=-1.0)
        found |= dict.fromkeys((record.id for record in members), float(str(thresholds[int(miou.argmax())])))
    return found


def _owner(record: Record) -> str:
    return record.patient or record.id


def _matrices(
    reader: MapReader, card: Card, records: Iterator[Record]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float32]], np.ndarray[tuple[int, int, int], np.dtype[np.int64]]]:
    """Return thresholds (T), and the confusion matrix of some images at each (T R C)."""
    sweep = Sweep(len(card.classes))
    for record in records:
        stored = reader[record.id]
        maps = resize_bilinear(stored.maps.astype(np.float32), *stored.size)
        sweep.add(maps, stored.classes, truth_of(card, record))
    return sweep.thresholds, sweep.matrices()
