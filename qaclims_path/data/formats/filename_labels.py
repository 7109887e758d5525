"""Image-level labels as bits in the file name: `..._MPP-0.2500+0[1101].png`, `...-[1 0 0 1].png`, `...-[1, 1, 0].png`.

Splits without bits (validation, test) have a folder of masks with the names of the images.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import SplitFiles, fake_names, label_indices, refuse, write_item
from qaclims_path.data.record import Record


def bits_in(name: str) -> tuple[int, ...] | None:
    """Read the label bits between the brackets of a name, in any published spelling; None if there are none.

    Examples:
        >>> bits_in("a_+0[1101].png"), bits_in("b-[1, 1, 0].png"), bits_in("c.png")
        ((1, 1, 0, 1), (1, 1, 0), None)
    """
    between = name.split("]", maxsplit=1)[0].rsplit("[", maxsplit=1)[-1] if "[" in name and "]" in name else ""
    if not re.fullmatch(r"\s*[01](?:[\s,]*[01])*\s*", between):
        return None
    return tuple(int(bit) for bit in re.findall("[01]", between))


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """List the records of a split, with labels from the names if the card says so."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    present = _present(card, names) if files.split.labels_from == "name" else None
    return files.records(folder, names, files.masks(names), present)


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write a split in the published layout, with labels in the names if `fake_name` has `{bits}`."""
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)


def _present(card: Card, names: list[str]) -> dict[str, tuple[int, ...]]:
    classes = label_indices(card)
    present: dict[str, tuple[int, ...]] = {}
    for name in names:
        bits = bits_in(name)
        if bits is not None and len(bits) == len(classes):
            present[name] = tuple(sorted(k for k, bit in zip(classes, bits, strict=True) if bit and k is not None))
    wrong = [name for name in names if name not in present]
    order = ", ".join(card.label_order or card.names)
    refuse(
        wrong, f"without {len(classes)} label bits in the name", f"Expected [...] with one 0 or 1 for each of {order}"
    )
    return present


FORMATS.add("filename_labels")(Format(records=list_split, write=write_split))
