"""List the images of a split as records, with the format that the card names."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.formats import (  # modules are imported to register their format
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
    """List the records of a split in a stable order, without opening images or masks.

    Examples:
        >>> list_records(load_card("bcss-wsss"), Path("BCSS-WSSS"), "train")[0].present  # doctest: +SKIP
        (0, 1, 3)
    """
    card.split(split)
    try:
        exists, is_folder = root.exists(), root.is_dir()
    except OSError as error:
        raise BadFile(f"{root} cannot be opened: {error.strerror or error}.") from error
    if not is_folder:
        problem = "is a file, not a folder" if exists else "does not exist"
        raise BadFile(f"{root} {problem}. Give the folder of '{card.name}' in its published layout.")
    records = FORMATS[card.format].records(card, root, split)
    if any(record.present is None and record.mask is None for record in records):
        raise BadConfig(
            f"The card '{card.name}' takes the labels of '{split}' from '{card.split(split).labels_from}', which the "
            f"format '{card.format}' does not read. Choose another `labels_from`, or another format."
        )
    counts = Counter(record.id for record in records)
    twice = [record.image.name for record in records if counts[record.id] > 1]
    refuse(twice, "with the same name", "Names without suffix must differ, because predictions are matched by them")
    return records


def choose_split(card: Card, root: Path, split: str | None) -> tuple[str, list[Record]]:
    """List the records of a split; without a name, of the first split that exists, splits with masks before others.

    A split for supervised rows only is never chosen.

    Raises:
        DatasetProblem: There is no such split, or it cannot be listed.
    """
    names = [name for name, each in card.splits.items() if not each.supervised]
    masks_first = sorted(names, key=lambda name: card.splits[name].supervision == "labels")
    reasons = []
    for name in masks_first if split is None else [split]:
        try:
            records = list_records(card, root, name)
        except SplitAbsent as error:
            reasons.append(str(error))
            continue
        if records:
            return name, records
    missing = f"split of '{card.name}'" if split is None else f"image of '{split}'"
    raise DatasetProblem(f"{root} holds no {missing}. {' '.join(reasons[:1])}".rstrip())


def write_split(card: Card, root: Path, split: str, items: Iterable[FakeItem]) -> None:
    """Write fake images in the published layout of a split; existing files stay."""
    FORMATS[card.format].write(card, root, split, items)
