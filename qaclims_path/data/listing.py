"""Listing a split: from a card and a folder to records, through the format that the card names."""

# Imported for their registration.
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.formats import (
    FORMATS,
    FakeItem,
    beside,  # noqa: F401
    coco,  # noqa: F401
    filename_labels,  # noqa: F401
    folder,  # noqa: F401
    tiles,  # noqa: F401
    voc,  # noqa: F401
)
from qaclims_path.data.formats.common import refuse
from qaclims_path.data.record import Record
from qaclims_path.errors import BadConfig, BadFile, DatasetProblem, SplitAbsent


def list_records(card: Card, root: Path, split: str) -> list[Record]:
    """Records of a split in a stable order, without opening an image or a mask.

    Example:
        >>> list_records(load_card("bcss-wsss"), Path("BCSS-WSSS"), "train")[0].present  # doctest: +SKIP
        (0, 1, 3)
    """
    card.split(split)
    try:
        there, is_folder = root.exists(), root.is_dir()
    except OSError as error:
        raise BadFile(f"{root} cannot be entered: {error.strerror or error}.") from error
    if not is_folder:
        problem = "is a file, not a folder" if there else "does not exist"
        raise BadFile(f"{root} {problem}. Give the folder of '{card.name}' as its publisher lays it out.")
    records = FORMATS[card.format].records(card, root, split)
    if any(record.present is None and record.mask is None for record in records):
        raise BadConfig(
            f"The card '{card.name}' takes the labels of '{split}' from '{card.split(split).labels_from}', which the "
            f"format '{card.format}' does not read. Choose another `labels_from`, or another format."
        )
    times = Counter(record.id for record in records)
    twice = [record.image.name for record in records if times[record.id] > 1]
    refuse(twice, "with the same name", "Names without suffix must differ, because predictions are matched by them")
    return records


def choose_split(card: Card, root: Path, split: str | None) -> tuple[str, list[Record]]:
    """The records of the split asked for, or of the first one that is there, those with masks before the others.

    Raises:
        DatasetProblem: There is none, or the first one that is there cannot be listed.
    """
    best = sorted(card.splits, key=lambda name: card.splits[name].supervision == "labels")
    reasons = []
    for name in best if split is None else [split]:
        try:
            records = list_records(card, root, name)
        except SplitAbsent as error:
            reasons.append(str(error))
            continue
        if records:
            return name, records
    what = f"split of '{card.name}'" if split is None else f"image of '{split}'"
    raise DatasetProblem(f"{root} holds no {what}. {' '.join(reasons[:1])}".rstrip())


def write_split(card: Card, root: Path, split: str, items: Iterable[FakeItem]) -> None:
    """Write made-up images in the published layout of a split; what lies there already stays."""
    FORMATS[card.format].write(card, root, split, items)
