"""Contact sheet of a data set: a row of example images per class, chosen with a seed, with their masks if any."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qaclims_path.data.card import Card
from qaclims_path.data.listing import choose_split
from qaclims_path.data.record import Record, load_record
from qaclims_path.errors import QaclimsError
from qaclims_path.files.images import write_image
from qaclims_path.files.progress import track
from qaclims_path.report.contact_sheet import Example, Row, contact_sheet, example

PER_CLASS = 6
MOST_OPENED = 2000  # images opened at most in the search for a rare class


@dataclass(frozen=True)
class SheetReport:
    """A sheet that was drawn: file, split, and number of pictures per class."""

    dataset: str
    split: str
    images: int
    png: str
    pictures: dict[str, int]


def draw_sheet(card: Card, root: Path, png: Path, *, split: str | None = None, seed: int = 0) -> SheetReport:
    """Draw up to six images per class.

    Args:
        card: Facts about the data set.
        root: Folder of the data.
        png: File to write.
        split: Name of a split; the first that is there, those with masks before others, when None.
        seed: Seed of the choice of images.
    """
    if png.suffix.lower() != ".png":
        raise QaclimsError(f"{png} should end in .png, the format that is written.")
    split, records = choose_split(card, root, split)
    shuffled = random.Random(seed).sample(records, len(records))  # noqa: S311 - a choice of pictures
    found = _examples(card, shuffled)
    rows = [
        Row(info.title, info.color, _remark(len(found[index]), info.synonyms), found[index])
        for index, info in enumerate(card.classes)
    ]
    remark = f"{card.name}, {split}: {len(records)} images, chosen with seed {seed}"
    write_image(png, np.asarray(contact_sheet(card.title, remark, rows, columns=PER_CLASS)))
    drawn = {name: len(found[index]) for index, name in enumerate(card.names)}
    return SheetReport(card.name, split, len(records), str(png), drawn)


def _examples(card: Card, records: list[Record]) -> dict[int, list[Example]]:
    """Open images until every class has enough; images whose label holds no such class are not opened."""
    found: dict[int, list[Example]] = defaultdict(list)
    wanted = set(range(len(card.classes)))
    for record in track(_possible(records, wanted), "choosing pictures"):
        image, present, truth = load_record(card, record)
        for index in sorted(wanted & set(present)):
            inside = None if truth is None else truth == index
            if inside is None or inside.any():
                found[index].append(example(record.id, image, inside, card.classes[index].color))
        wanted -= {index for index, examples in found.items() if len(examples) >= PER_CLASS}
    return found


def _possible(records: list[Record], wanted: set[int]) -> Iterator[Record]:
    """Yield records that may hold a wanted class; the caller shrinks `wanted` meanwhile."""
    opened = 0
    for record in records:
        if not wanted or opened >= MOST_OPENED:
            return
        if record.present is None or wanted & set(record.present):
            opened += 1
            yield record


def _remark(count: int, synonyms: tuple[str, ...]) -> str:
    known = f"also: {', '.join(synonyms)}" if synonyms else ""
    return known if count else f"none found{'; ' if known else ''}{known}"
