"""A threshold for every image, found on the images of all other patients."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.compute.scores import score
from qaclims_path.compute.sweep import Sweep
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.record import Record, truth_of
from qaclims_path.errors import UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track


def crossfitted(reader: MapReader, card: Card, rules: Protocol, records: Sequence[Record]) -> Mapping[str, float]:
    """The threshold of each image: that with the best mean IoU of the unrefined maps of everybody else.

    Everybody else are the other patients, or the other images where patients are not known. Maps are read twice, so
    that memory does not grow with the images.

    Args:
        reader: Of the maps.
        card: Of the data set.
        rules: How maps are scored; background must be predicted.
        records: With masks.
    """
    ready = sorted((record for record in records if record.id in reader), key=_owner)
    groups = [(owner, list(members)) for owner, members in groupby(ready, _owner)]
    if len(groups) < 2:
        raise UsageError("A threshold cannot be fitted on others' images where there is only one patient.")
    everybody = _matrices(reader, card, track(ready, "fitting"))
    names = (*card.names, BACKGROUND_NAME) if rules.background == "score" else card.names
    headline = [names.index(name) for name in rules.mean_over or names]
    found: dict[str, float] = {}
    for _, members in track(groups, "leaving out"):
        others = everybody[1] - _matrices(reader, card, iter(members))[1]
        miou = np.nan_to_num(score(others, rules.background, headline).miou, nan=-1.0)
        found |= dict.fromkeys((record.id for record in members), float(str(everybody[0][int(miou.argmax())])))
    return found


def _owner(record: Record) -> str:
    return record.patient or record.id


def _matrices(
    reader: MapReader, card: Card, records: Iterator[Record]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float32]], np.ndarray[tuple[int, int, int], np.dtype[np.int64]]]:
    """Thresholds, and the confusion matrix of some images at each."""
    sweep = Sweep(len(card.classes))
    for record in records:
        stored = reader[record.id]
        maps = resize_bilinear(stored.maps.astype(np.float32), *stored.size)
        sweep.add(maps, stored.classes, truth_of(card, record))
    return sweep.thresholds, sweep.matrices()
