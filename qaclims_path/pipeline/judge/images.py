"""The images that a judge is trained on, found without torch."""

from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record
from qaclims_path.errors import UsageError

FEWEST = 8  # images to train on


def training_images(card: Card, root: Path, split: str | None) -> tuple[str, list[Record], list[Record]]:
    """List a split to train on: its name, all its images, and those that show a class.

    Args:
        card: Facts about the data set.
        root: Folder of the data.
        split: Name of the split; the first for training whose labels do not come from masks, when None.
    """
    split = split or training_split(card)
    if card.split(split).labels_from == "masks":
        raise UsageError(f"The labels of '{split}' come from masks, which this never opens. Choose another split.")
    listed = list_records(card, root, split)
    records = [record for record in listed if record.present]
    if len(records) < FEWEST:
        raise UsageError(f"'{split}' of {card.name} has {len(records)} images with a class; {FEWEST} are the least.")
    return split, listed, records


def training_split(card: Card) -> str:
    """Find the training split with image-level labels of its own."""
    for name, split in card.splits.items():
        if split.part == "train" and split.labels_from != "masks":
            return name
    raise UsageError(
        f"No training split of '{card.name}' has image-level labels of its own; they would come from masks, which this "
        "never opens. Write a table of labels and a card whose `labels_from` is `table` (see datasets/README.md)."
    )
