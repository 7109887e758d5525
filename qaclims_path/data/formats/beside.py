"""Masks named after their images, in the same folder (`train_1.bmp`, `train_1_anno.bmp`) or in another one."""

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
    """List the records of a split; a file whose name is that of a mask is not an image."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    if files.split.masks:
        return files.records(folder, names, files.masks(names), None)
    images = [image for image in names if not is_mask(files.split, image)]
    return files.records(folder, images, _masks(files.split, folder, images), None)


def is_mask(split: Split, name: str) -> bool:
    """Return whether a file name fits the pattern `mask_name`."""
    prefix, _, suffix = split.mask_name.casefold().partition("{stem}")
    folded = name.casefold()
    return folded.startswith(prefix) and folded.endswith(suffix) and len(folded) > len(prefix) + len(suffix)


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write images and masks into one folder, or masks into their own folder if the card names one."""
    split = card.split(name)
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)
        if not split.masks:
            write_codes(root / split.images[0] / mask_name(split, file), card.encode(item.labels), card)


def _masks(split: Split, folder: Path, images: Sequence[str]) -> Sequence[MaskSource | None]:
    if split.supervision == "labels":
        return [None] * len(images)
    files = {_folded(name): name for name in list_files(folder)}
    keys = [_folded(mask_name(split, image)) for image in images]
    missing = [image for image, key in zip(images, keys, strict=True) if key not in files]
    refuse(missing, f"without a mask beside them in {folder}", f"Masks must be named {split.mask_name}")
    return [MaskFile(folder / files[key]) for key in keys]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


FORMATS.add("beside")(Format(records=list_split, write=write_split))
