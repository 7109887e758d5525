"""Training masks made by this package: their codes, and the records that carry them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qaclims_path.data.card import BACKGROUND_NAME, IGNORE, IGNORE_NAME, Card
from qaclims_path.data.record import MaskFile, Record

LABELS, TRAINING, CONFIDENCE = "labels", "training", "confidence"  # folders of PNG files
SETTINGS = "masks.json"  # how they were made


def pseudo_card(card: Card) -> Card:
    """The card of training masks: the codes that its masks are written with, and one for ignored pixels.

    That is 255, or 254 where 255 is written for a class.

    Example:
        >>> pseudo_card(load_card("wsss4luad")).codes["255"]  # doctest: +SKIP
        'ignore'
    """
    targets = [*card.names, BACKGROUND_NAME] if BACKGROUND_NAME in card.codes.values() else [*card.names]
    codes = {str(int(card.encoder[label])): target for label, target in enumerate(targets)}
    ignored = next(str(code) for code in range(IGNORE, -1, -1) if str(code) not in codes)
    return Card.model_validate({**card.model_dump(), "codes": {**codes, ignored: IGNORE_NAME}})


def pseudo_records(records: Sequence[Record], folder: Path) -> list[Record]:
    """The records of a split that have a training mask in a folder of masks, with that instead of the truth.

    Example:
        >>> card = load_card("wsss4luad")  # doctest: +SKIP
        >>> records = pseudo_records(list_records(card, root, "train"), run / "masks" / "train")  # doctest: +SKIP
        >>> SegmentationDataset(pseudo_card(card), records)[0].mask.unique()  # doctest: +SKIP
        tensor([  0,   1, 255], dtype=torch.uint8)
    """
    paths = {record.id: folder / TRAINING / f"{record.id}.png" for record in records}
    return [replace(record, mask=MaskFile(paths[record.id])) for record in records if paths[record.id].is_file()]
