"""Masks beside their images, in the same folder (`train_1.bmp`, `train_1_anno.bmp`) or in a folder of their own."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import Split
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import SplitFiles, fake_names, mask_name, refuse, write_codes, write_item
from qaclims_path.data.record import MaskFile, MaskSource, Record
from qaclims_path.files.folders import list_files


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """Records of a split; a file named as a mask is never an image."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    if files.split.masks:
        return files.records(folder, names, files.masks(names), None)
    images = [image for image in names if not is_mask(files.split, image)]
    return files.records(folder, images, _masks(files.split, folder, images), None)


def is_mask(split: Split, name: str) -> bool:
    """Whether a name is what `mask_name` makes of some image's name."""
    before, _, after = split.mask_name.casefold().partition("{stem}")
    folded = name.casefold()
    return folded.startswith(before) and folded.endswith(after) and len(folded) > len(before) + len(after)


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write images and masks into one folder, or each into its own where the card names a folder for masks."""
    split = card.split(name)
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)
        if not split.masks:
            write_codes(root / split.images[0] / mask_name(split, file), card.encode(item.labels), card)


def _masks(split: Split, folder: Path, images: Sequence[str]) -> Sequence[MaskSource | None]:
    if split.supervision == "labels":
        return [None] * len(images)
    known = {_folded(name): name for name in list_files(folder)}
    keys = [_folded(mask_name(split, image)) for image in images]
    missing = [image for image, key in zip(images, keys, strict=True) if key not in known]
    refuse(missing, f"without a mask beside them in {folder}", f"Their mask is named {split.mask_name}")
    return [MaskFile(folder / known[key]) for key in keys]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


FORMATS.add("beside")(Format(records=list_split, write=write_split))
