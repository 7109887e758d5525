"""Pseudo masks as training masks: their codes, and the records that use them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qaclims_path.data.card import BACKGROUND_NAME, IGNORE, IGNORE_NAME, Card
from qaclims_path.data.record import MaskFile, Record
from qaclims_path.errors import BadFile
from qaclims_path.files.json_files import read_object
from qaclims_path.files.made_with import INDEX

LABELS, TRAINING, CONFIDENCE = "labels", "training", "confidence"  # folders of PNG files
SETTINGS = "masks.json"  # the options of the pseudo masks


def pseudo_card(card: Card) -> Card:
    """Make the card of pseudo masks: the codes of the data set, and one code for ignored pixels.

    Ignored pixels have the highest free code: 255, or 254 if 255 belongs to a class.

    Examples:
        >>> pseudo_card(load_card("wsss4luad")).codes["255"]  # doctest: +SKIP
        'ignore'
    """
    targets = [*card.names, BACKGROUND_NAME] if BACKGROUND_NAME in card.codes.values() else [*card.names]
    codes = {str(int(card.encoder[label])): target for label, target in enumerate(targets)}
    ignored = next(str(code) for code in range(IGNORE, -1, -1) if str(code) not in codes)
    return Card.model_validate({**card.model_dump(), "codes": {**codes, ignored: IGNORE_NAME}})


def pseudo_records(records: Sequence[Record], folder: Path) -> list[Record]:
    """Keep the records that have a training mask in a folder of pseudo masks, and replace their truth by it.

    Examples:
        >>> card = load_card("wsss4luad")  # doctest: +SKIP
        >>> records = pseudo_records(list_records(card, root, "train"), run / "masks" / "train")  # doctest: +SKIP
        >>> SegmentationDataset(pseudo_card(card), records)[0].mask.unique()  # doctest: +SKIP
        tensor([  0,   1, 255], dtype=torch.uint8)
    """
    paths = {record.id: folder / TRAINING / f"{record.id}.png" for record in records}
    return [replace(record, mask=MaskFile(paths[record.id])) for record in records if paths[record.id].is_file()]


def read_mask_settings(folder: Path) -> dict[str, Any]:
    """Read the options of finished masks."""
    if not (folder / SETTINGS).is_file():
        raise BadFile(
            f"There are no masks in {folder}. Make them with `qaclims masks`, or train on true masks with "
            "--set seg.truth=true."
        )
    found = read_object(folder / SETTINGS, f"Remove {folder}, and make the masks again.")
    if not (folder / INDEX).is_file():
        raise BadFile(
            f"The masks in {folder} are not finished. Run the same `qaclims masks` command again to continue."
        )
    return found
