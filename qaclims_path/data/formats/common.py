"""What every format needs: finding a split's folder, listing its images, matching masks, naming what is missing."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import Split
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.record import ImageFile, MaskFile, MaskSource, Record
from qaclims_path.errors import BadFile, DatasetProblem, SplitAbsent
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.folders import IMAGE_SUFFIXES, first_existing, inside, list_files, stem_key
from qaclims_path.files.images import write_image, write_mask

SHOWN = 10


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split of a data set laid out below a root."""

    card: Card
    root: Path
    name: str

    @property
    def split(self) -> Split:
        """The split as the card describes it."""
        return self.card.split(self.name)

    def find(self, what: str, spellings: Sequence[str]) -> Path:
        """The first spelling that exists, or a sentence with all that was looked for and what is there instead."""
        path = first_existing(self.root, spellings)
        if path is None:
            wanted = " or ".join(f"'{spelling}'" for spelling in spellings) or "any spelling of it on the card"
            raise SplitAbsent(
                f"{self.root} has no {wanted} ({what} of the split '{self.name}' of '{self.card.name}'). "
                f"There is: {_contents(self.root)}. Check the folder given as root, or the spellings on the card."
            )
        return path

    def images(self) -> tuple[Path, list[str]]:
        """Folder and file names of the split's images, sorted or in the order of its list; nothing is opened.

        Of several spellings that exist, the first that holds images counts (`train/` may only hold `train/img/`).
        Names on the list whose image is not there are left out: a smaller copy of a data set is still readable.
        """
        split = self.split
        self.find("the images", split.images)
        there = (first_existing(self.root, [spelling]) for spelling in split.images)
        folders = [folder for folder in there if folder is not None and folder.is_dir()]
        found = ((folder, list_files(folder)) for folder in folders)
        folder, names = next(((folder, names) for folder, names in found if names), (None, []))
        if folder is None:
            raise SplitAbsent(f"{', '.join(map(str, folders)) or self.root} holds no images of '{self.name}'.")
        if split.list:
            names = _on_list(self.find("the list", split.list), folder, names)
        if split.match:
            names = [name for name in names if re.search(split.match, name)]
        if not names:
            raise SplitAbsent(
                f"None of the images in {folder} belongs to the split '{self.name}': "
                f"{'its list names none of them' if split.list else f'no name matches {split.match!r}'}."
            )
        return folder, names

    def masks(self, names: Sequence[str]) -> Sequence[MaskSource | None]:
        """A mask for every image, or None for all where the split trains on image labels: those are not looked at."""
        split = self.split
        if split.supervision == "labels":
            return [None] * len(names)
        folder = self.find("the masks", split.masks)
        masks = self._matched(folder, names, "a mask")
        if not split.background_masks:
            return [MaskFile(mask) for mask in masks]
        marks = self._matched(self.find("the background masks", split.background_masks), names, "a background mask")
        code = int(self.card.encoder[self.card.background_index])
        return [MaskFile(mask, mark, code) for mask, mark in zip(masks, marks, strict=True)]

    def _matched(self, folder: Path, names: Sequence[str], what: str) -> list[Path]:
        known = {stem_key(name): name for name in list_files(folder)}
        keys = [stem_key(mask_name(self.split, name)) for name in names]
        missing = [name for name, key in zip(names, keys, strict=True) if key not in known]
        refuse(missing, f"without {what} in {folder}", "Their mask is named " + self.split.mask_name)
        return [folder / known[key] for key in keys]

    def records(
        self,
        folder: Path,
        names: Sequence[str],
        masks: Sequence[MaskSource | None],
        present: Mapping[str, tuple[int, ...]] | None,
        patients: Mapping[str, str] | None = None,
    ) -> list[Record]:
        """Put together what was found; `present` and `patients` go by file name."""
        told = patients or {}
        return [
            Record(
                id=stem_key(name),
                image=ImageFile(folder / name),
                present=None if present is None else present[name],
                mask=mask,
                patient=told.get(name) or self.card.patient_of(name),
            )
            for name, mask in zip(names, masks, strict=True)
        ]


def refuse(names: Sequence[str], problem: str, way_out: str) -> None:
    """Report all names that share a problem in one sentence, the first ten by name."""
    if names:
        shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise DatasetProblem(f"{len(names)} image{'s' * (len(names) > 1)} {problem}: {shown}{more}. {way_out}.")


def image_key(name: str) -> str:
    """What an image is matched by when its suffix may be missing and its name may hold dots.

    Example:
        >>> image_key("img/TCGA_MPP-0.2500.png"), image_key("TCGA_MPP-0.2500")
        ('TCGA_MPP-0.2500', 'TCGA_MPP-0.2500')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return stem_key(last) if last.lower().endswith(IMAGE_SUFFIXES) else unicodedata.normalize("NFC", last)


def mask_name(split: Split, image: str) -> str:
    """The file name of an image's mask.

    Example:
        `mask_name: "{stem}_anno.bmp"` gives `train_1_anno.bmp` for `train_1.bmp`.
    """
    return split.mask_name.replace("{stem}", Path(image).stem)


def read_list(path: Path) -> list[str]:
    """Names in a list file, one per line; of `/JPEGImages/x.jpg /Seg/x.png` the first.

    Byte-order mark, CRLF and blank lines are dropped.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadFile(f"{path} cannot be read as a list of names: {reason}.") from error
    # Names may hold blanks (`[1, 1, 0]`), so only two rooted paths make two columns.
    return [re.split(r"\s+(?=/)", line.strip())[0] for line in lines if line.strip()]


def spoken(name: str) -> str:
    """A class name as compared: without case, blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def class_index(card: Card) -> dict[str, int]:
    """Class index by every `spoken` way to call the class; names win over display names and synonyms."""
    index: dict[str, int] = {}
    for ways in (
        [[info.name] for info in card.classes],
        [[info.title] for info in card.classes],
        [list(info.synonyms) for info in card.classes],
    ):
        for i, calls in enumerate(ways):
            for call in calls:
                index.setdefault(spoken(call), i)
    return index


def label_indices(card: Card) -> list[int | None]:
    """Class index per position of the published label vector; None for a class that is not on this card."""
    index = class_index(card)
    return [index.get(spoken(name)) for name in card.label_order or card.names]


def present_in(labels: NDArray[np.uint8], card: Card) -> tuple[int, ...]:
    """Indices of the classes with a pixel in H W label indices."""
    return tuple(int(i) for i in np.unique(labels) if i < len(card.classes))


def fake_names(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> Iterator[tuple[str, FakeItem]]:
    """File names from the split's `fake_name`; numbering goes on behind images that lie in the folder already."""
    split = card.split(name)
    folder = root / split.images[0]
    start = len(list_files(folder)) if folder.is_dir() else 0
    for i, item in enumerate(items, start):
        present = {card.names[k] for k in present_in(item.labels, card)}
        bits = card.bit_separator.join("01"[called in present] for called in card.label_order or card.names)
        yield split.fake_name.format(i=i, patient=item.patient, x=item.x, y=item.y, bits=bits), item


def write_item(card: Card, root: Path, name: str, file: str, item: FakeItem) -> None:
    """Write one fake image, and its mask in card codes where the split names a folder for masks."""
    split = card.split(name)
    write_image(root / split.images[0] / file, item.image)
    codes = card.encode(item.labels)
    if split.masks:
        write_codes(root / split.masks[0] / mask_name(split, file), codes, card)
    if split.background_masks:
        marked = (item.labels == card.background_index).astype(np.uint8)
        write_codes(root / split.background_masks[0] / mask_name(split, file), marked, None)


def write_codes(path: Path, codes: NDArray[np.uint8], card: Card | None) -> None:
    """Write H W codes: a palette PNG, or 8-bit grey in another format of the suffix."""
    if path.suffix.lower() == ".png":
        write_mask(path, codes, card.code_palette if card else None)
    else:
        with atomic_path(path) as temporary:
            Image.fromarray(codes).save(temporary)


def _on_list(path: Path, folder: Path, names: Sequence[str]) -> list[str]:
    known = {stem_key(name): name for name in names}
    wanted = (image_key(inside(folder, line.lstrip("/"), path).name) for line in read_list(path))
    return [known[key] for key in wanted if key in known]


def _contents(root: Path) -> str:
    try:
        names = sorted(path.name + (" (a link that leads nowhere)" if _broken(path) else "") for path in root.iterdir())
    except OSError as error:
        return f"nothing that may be listed ({error.strerror or error})"
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "") or "nothing"


def _broken(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
