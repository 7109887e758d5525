"""Check one split: list its files in spite of mistakes, then open them."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import IGNORE, UNKNOWN, Card
from qaclims_path.data.formats.common import SplitFiles, mask_name
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import MaskFile, Record, classes_in
from qaclims_path.errors import QaclimsError
from qaclims_path.files.folders import first_existing, list_files, stem_key
from qaclims_path.files.images import image_size

WORKERS = min(4, cpu_count() or 1)  # Pillow decodes outside the interpreter's lock
BATCH = 256
CLEARLY_PRESENT = 0.05  # share of the image from which published labels often count a class
MASKS_ONLY = {"supervision": "masks", "labels_from": "masks"}
LABELS_ONLY = {"supervision": "labels", "masks": (), "background_masks": ()}
Finding = tuple[str, str]  # kind of problem, sentence


@dataclass(frozen=True)
class Listing:
    """A split as far as it can be listed.

    Attributes:
        absent: Reason why the split counts as absent, or empty.
        problems: Problems of the listing.
    """

    records: tuple[Record, ...] = ()
    absent: str = ""
    problems: tuple[Finding, ...] = ()


def list_tolerantly(card: Card, root: Path, name: str) -> Listing:
    """List a split; in spite of problems, list the images with the masks and labels that can be read."""
    files = SplitFiles(card, root, name)
    try:
        absent = _absence(files)
        return Listing(absent=absent) if absent else Listing(tuple(list_records(card, root, name)))
    except QaclimsError as error:
        stopped = str(error)
    split = files.split
    masked, no_masks = _view(card, root, name, MASKS_ONLY) if split.supervision == "masks" else ([], "")
    labelled, no_labels = _view(card, root, name, LABELS_ONLY) if split.labels_from != "masks" else ([], "")
    kinds: dict[str, str] = dict.fromkeys(_missing_folders(files), "missing")
    both = "missing" if no_masks == no_labels else ""  # masks and labels are read from the same folders
    for kind, sentence in (("masks", no_masks), ("labels", no_labels)):
        if sentence:
            kinds.setdefault(sentence, both or kind)
    labels = {record.id: record for record in labelled}
    records = tuple(
        replace(labels[record.id], mask=record.mask) if record.id in labels else record
        for record in masked or _any_images(files)
    )
    return Listing(
        records, problems=tuple((kind, sentence) for sentence, kind in (kinds or {stopped: "missing"}).items())
    )


def examine(card: Card, records: Sequence[Record], *, quick: bool) -> Iterator[list[Finding]]:
    """Open every image and mask, a few at a time, and yield the problems of each.

    Args:
        card: Facts about the data set.
        records: Images that were listed.
        quick: Read headers only.
    """
    look = partial(_headers if quick else _pixels, card)
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(records), BATCH):  # `map` would queue all of a hundred thousand at once
            yield from pool.map(look, records[start : start + BATCH])


def _absence(files: SplitFiles) -> str:
    """Say why a split is absent: no list, neither images nor masks, or no image that matches its pattern."""
    split, root = files.split, files.root
    if split.list and first_existing(root, split.list) is None:
        return f"looked for {_spelled(split.list)}"
    if first_existing(root, split.images) is None:
        return "" if first_existing(root, split.masks) else f"looked for {_spelled(split.images)}"
    folders = [root / folder for folder in split.images]
    names = [name for folder in folders if folder.is_dir() for name in list_files(folder)]
    if split.match and not any(re.search(split.match, name) for name in names):
        return f"no image is named like {split.match} in {_spelled(split.images)}"
    return ""


def _missing_folders(files: SplitFiles) -> Iterator[str]:
    """Yield a sentence for every missing folder or list of a split, with the spellings looked for."""
    split = files.split
    try:
        if files.find("the images", split.images).is_dir():  # else a table lists them
            files.images()
    except QaclimsError as error:
        yield str(error)
    if split.supervision == "masks":
        for title, spellings in (("the masks", split.masks), ("the background masks", split.background_masks)):
            try:
                if spellings:
                    files.find(title, spellings)
            except QaclimsError as error:
                yield str(error)


def _view(card: Card, root: Path, name: str, change: dict[str, Any]) -> tuple[list[Record], str]:
    """List a split under a changed card: the records, or the message of the error."""
    split = card.split(name).model_copy(update=change)
    try:
        return list_records(card.model_copy(update={"splits": {**card.splits, name: split}}), root, name), ""
    except QaclimsError as error:
        return [], str(error)


def _any_images(files: SplitFiles) -> list[Record]:
    """List the images of a split without labels, each with the mask of its name where there is one."""
    split = files.split
    try:
        folder, names = files.images()
        if split.supervision == "labels":
            return files.records(folder, names, [None] * len(names), None)
        masks_folder = first_existing(files.root, split.masks) if split.masks else folder
        masks = {stem_key(mask): masks_folder / mask for mask in list_files(masks_folder)} if masks_folder else {}
    except QaclimsError:  # reported as missing
        return []
    if masks_folder == folder:  # masks beside their images are not images, and images are not masks
        beside = {mask for name in names if (mask := mask_name(split, name)) != name}
        masks = {key: path for key, path in masks.items() if path.name in beside}
        names = [name for name in names if name not in beside]
    keys = [stem_key(mask_name(split, name)) for name in names]
    found = [MaskFile(masks[key]) if key in masks else None for key in keys]
    return files.records(folder, names, found, None)


def _headers(card: Card, record: Record) -> list[Finding]:  # noqa: ARG001 - same shape as `_pixels`
    sizes, findings = [], []
    headers = [record.image.size]
    if isinstance(record.mask, MaskFile):
        headers.append(partial(image_size, record.mask.path))
    for size in headers:
        try:
            sizes.append(size())
        except QaclimsError as error:
            findings.append(("unreadable", str(error)))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        findings.append(_size_finding(record, sizes[0], sizes[1]))
    return findings


def _pixels(card: Card, record: Record) -> list[Finding]:
    findings: list[Finding] = []
    size: tuple[int, int] | None = None
    try:
        height, width = record.image.pixels().shape[:2]
        size = width, height
    except QaclimsError as error:
        findings.append(("unreadable", str(error)))
    if record.mask is None:
        return findings
    try:
        codes = record.mask.codes()
    except QaclimsError as error:
        return [*findings, ("unreadable", str(error))]
    if size is not None and size != codes.shape[::-1]:
        findings.append(_size_finding(record, size, codes.shape[::-1]))
    if (card.decoder[codes] == UNKNOWN).any():
        return [*findings, ("code", _code_problem(card, record, codes))]
    against = _contradiction(card, record, card.decoder[codes])
    return [*findings, ("contradiction", against)] if against else findings


def _contradiction(card: Card, record: Record, truth: NDArray[np.uint8]) -> str:
    """Say how the label of an image contradicts its mask (H W label indices), or return an empty text.

    A label may leave out a class that covers a small part, and ignored pixels may hide an object.
    """
    one_source = card.format == "tiles" or not isinstance(record.mask, MaskFile)  # annotations give label and mask
    if record.present is None or one_source:
        return ""
    seen, labelled = set(classes_in(card, truth)), set(record.present)
    clearly = {index for index in seen - labelled - {*record.unknown} if (truth == index).mean() >= CLEARLY_PRESENT}
    unseen = set() if (truth == IGNORE).any() else labelled - seen
    if not clearly and not unseen:
        return ""
    return (
        f"{record.image} is labelled {_names(card, labelled)}, but its mask {record.mask} shows "
        f"{_names(card, seen)}. One of the two is wrong."
    )


def _code_problem(card: Card, record: Record, codes: NDArray[np.uint8]) -> str:
    try:
        card.decode(codes, record.mask)
    except QaclimsError as error:
        return str(error)
    return ""


def _size_finding(record: Record, image: tuple[int, ...], mask: tuple[int, ...]) -> Finding:
    return "size", (
        f"{record.image} is {image[0]} x {image[1]} pixels, but its mask {record.mask} is {mask[0]} x {mask[1]}. "
        "Fetch the pair again, or make the mask at the size of the image."
    )


def _names(card: Card, indices: set[int]) -> str:
    return ", ".join(card.names[index] for index in sorted(indices)) or "nothing"


def _spelled(spellings: Sequence[str]) -> str:
    return ", ".join(f"'{spelling}'" for spelling in spellings)
