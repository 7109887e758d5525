"""Shared by all formats: find the folders of a split, list its images, match masks, and report missing files."""

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
from qaclims_path.data.cards import suggest_own
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.record import ImageFile, MaskFile, MaskSource, Record
from qaclims_path.errors import BadFile, DatasetProblem, SplitAbsent, first_of
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.folders import IMAGE_SUFFIXES, first_existing, inside, list_files, stem_key
from qaclims_path.files.images import write_image, write_mask
from qaclims_path.files.tables import read_csv

SHOWN = 10
IMAGE_COLUMNS = ("file", "image", "name", "id", "image_name")


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split in the folder of a data set."""

    card: Card
    root: Path
    name: str

    @property
    def split(self) -> Split:
        """The card's entry of the split."""
        return self.card.split(self.name)

    def find(self, what: str, spellings: Sequence[str]) -> Path:
        """Return the first of several relative paths that exists; if none does, say which `what` is missing."""
        path = first_existing(self.root, spellings)
        if path is None:
            expected = " or ".join(f"'{spelling}'" for spelling in spellings) or "any spelling of it on the card"
            way_out = "Check the folder given as root, or the spellings on the card."
            raise SplitAbsent(
                f"{self.root} has no {expected} ({what} of the split '{self.name}' of '{self.card.name}'). "
                f"There is: {_contents(self.root)}. {suggest_own(self.card, self.root, way_out)}"
            )
        return path

    def images(self) -> tuple[Path, list[str]]:
        """Return folder and file names of the images, sorted or in the order of the split's list, without opening any.

        The first of several spellings whose folder holds images is taken (`train/` may only hold `train/img/`). Listed
        images without a file are left out, so that a smaller copy of a data set can be read.
        """
        split = self.split
        self.find("the images", split.images)
        paths = (first_existing(self.root, [spelling]) for spelling in split.images)
        folders = [path for path in paths if path is not None and path.is_dir()]
        listings = ((folder, list_files(folder)) for folder in folders)
        folder, names = next(((folder, names) for folder, names in listings if names), (None, []))
        if folder is None:
            raise SplitAbsent(f"{', '.join(map(str, folders)) or self.root} holds no images of '{self.name}'.")
        if split.list:
            names = _listed(self.find("the list", split.list), folder, names)
        if split.match:
            names = [name for name in names if re.search(split.match, name)]
        if not names:
            raise SplitAbsent(
                f"None of the images in {folder} belongs to the split '{self.name}': "
                f"{'its list names none of them' if split.list else f'no name matches {split.match!r}'}."
            )
        return folder, names

    def masks(self, names: Sequence[str]) -> Sequence[MaskSource | None]:
        """Return a mask for every image; None for all images if the split trains on image labels."""
        split = self.split
        if split.supervision == "labels":
            return [None] * len(names)
        folder = self.find("the masks", split.masks)
        masks = self._matched(folder, names, "a mask")
        if not split.background_masks:
            return [MaskFile(mask) for mask in masks]
        folder = self.find("the background masks", split.background_masks)
        background_masks = self._matched(folder, names, "a background mask")
        code = int(self.card.encoder[self.card.background_index])
        return [MaskFile(mask, background, code) for mask, background in zip(masks, background_masks, strict=True)]

    def _matched(self, folder: Path, names: Sequence[str], what: str) -> list[Path]:
        """Return the files of a folder that belong to the images of these names."""
        files = {stem_key(name): name for name in list_files(folder)}
        keys = [stem_key(mask_name(self.split, name)) for name in names]
        missing = [name for name, key in zip(names, keys, strict=True) if key not in files]
        refuse(missing, f"without {what} in {folder}", f"Masks must be named {self.split.mask_name}")
        return [folder / files[key] for key in keys]

    def records(
        self,
        folder: Path,
        names: Sequence[str],
        masks: Sequence[MaskSource | None],
        present: Mapping[str, tuple[int, ...]] | None,
        patients: Mapping[str, str] | None = None,
        unknown: Mapping[str, tuple[int, ...]] | None = None,
    ) -> list[Record]:
        """Make the records of images; `present`, `patients` and `unknown` classes are by file name."""
        patients, unknown = patients or {}, unknown or {}
        return [
            Record(
                id=stem_key(name),
                image=ImageFile(folder / name),
                present=None if present is None else present[name],
                mask=mask,
                patient=patients.get(name) or self.card.patient_of(name),
                unknown=unknown.get(name, ()),
            )
            for name, mask in zip(names, masks, strict=True)
        ]


def refuse(names: Sequence[str], problem: str, way_out: str) -> None:
    """Raise one error for all images that share a problem, if there are any; it names the first ten."""
    if names:
        shown = first_of([f"'{name}'" for name in names], SHOWN)
        raise DatasetProblem(f"{len(names)} image{'s' * (len(names) > 1)} {problem}: {shown}. {way_out}.")


def image_key(name: str) -> str:
    """Return the key that matches an image's name with and without suffix; the name may hold dots.

    Examples:
        >>> image_key("img/TCGA_MPP-0.2500.png"), image_key("TCGA_MPP-0.2500")
        ('TCGA_MPP-0.2500', 'TCGA_MPP-0.2500')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return stem_key(last) if last.lower().endswith(IMAGE_SUFFIXES) else unicodedata.normalize("NFC", last)


def mask_name(split: Split, image: str) -> str:
    """Return the file name of an image's mask.

    Examples:
        `mask_name: "{stem}_anno.bmp"` gives `train_1_anno.bmp` for `train_1.bmp`.
    """
    return split.mask_name.replace("{stem}", Path(image).stem)


def read_list(path: Path) -> list[str]:
    """Read the names in a list file, one per line; from `/JPEGImages/x.jpg /Seg/x.png`, take the first path.

    Byte-order mark, CRLF and blank lines are ignored. A CSV lists the images that have a row.
    """
    if path.suffix.lower() == ".csv":
        return [image_cell({column.casefold(): cell for column, cell in row.items()}, path) for row in read_csv(path)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadFile(f"{path} cannot be read as a list of names: {reason}.") from error
    # names may hold blanks (`[1, 1, 0]`), so a second column must begin with a slash
    return [re.split(r"\s+(?=/)", line.strip())[0] for line in lines if line.strip()]


def image_cell(cells: Mapping[str, str], path: Path) -> str:
    """Return the image's name in a row of a CSV; the columns of `cells` are in lower case."""
    image = next((cells[column] for column in IMAGE_COLUMNS if column in cells), None)
    if image is None:
        raise BadFile(
            f"{path} has no column for the image: call it file, image, name or id. Found: {', '.join(cells)}."
        )
    return image


def normalised(name: str) -> str:
    """Normalise a class name for comparison: no case, blanks, hyphens or underscores."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def class_index(card: Card) -> dict[str, int]:
    """Map every normalised name of a class to its index; names take precedence over display names and synonyms."""
    index: dict[str, int] = {}
    for names_of_classes in (
        [[info.name] for info in card.classes],
        [[info.title] for info in card.classes],
        [list(info.synonyms) for info in card.classes],
    ):
        for i, names in enumerate(names_of_classes):
            for name in names:
                index.setdefault(normalised(name), i)
    return index


def label_indices(card: Card) -> list[int | None]:
    """Return the class index of every position of the published label vector; None for a class without card entry."""
    index = class_index(card)
    return [index.get(normalised(name)) for name in card.label_order or card.names]


def present_in(labels: NDArray[np.uint8], card: Card) -> tuple[int, ...]:
    """List the classes with at least one pixel in H W label indices."""
    return tuple(int(i) for i in np.unique(labels) if i < len(card.classes))


def fake_names(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> Iterator[tuple[str, FakeItem]]:
    """Yield fake images with file names after the split's `fake_name`, numbered after the images in the folder."""
    split = card.split(name)
    folder = root / split.images[0]
    start = len(list_files(folder)) if folder.is_dir() else 0
    for i, item in enumerate(items, start):
        present = {card.names[k] for k in present_in(item.labels, card)}
        bits = card.bit_separator.join("01"[class_name in present] for class_name in card.label_order or card.names)
        yield split.fake_name.format(i=i, patient=item.patient, x=item.x, y=item.y, bits=bits), item


def write_item(card: Card, root: Path, name: str, file: str, item: FakeItem) -> None:
    """Write one fake image, and its mask in codes of the card if the split has a folder of masks."""
    split = card.split(name)
    write_image(root / split.images[0] / file, item.image)
    codes = card.encode(item.labels)
    if split.masks:
        write_codes(root / split.masks[0] / mask_name(split, file), codes, card)
    if split.background_masks:
        background = (item.labels == card.background_index).astype(np.uint8)
        write_codes(root / split.background_masks[0] / mask_name(split, file), background, None)


def write_codes(path: Path, codes: NDArray[np.uint8], card: Card | None) -> None:
    """Write H W codes as a PNG with palette, or as an 8-bit grey image if the suffix is not `.png`."""
    if path.suffix.lower() == ".png":
        write_mask(path, codes, card.code_palette if card else None)
    else:
        with atomic_path(path) as temporary:
            Image.fromarray(codes).save(temporary)


def _listed(path: Path, folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names that are in the list file, in its order."""
    by_key = {stem_key(name): name for name in names}
    listed = (image_key(inside(folder, line.lstrip("/"), path).name) for line in read_list(path))
    return [by_key[key] for key in listed if key in by_key]


def _contents(root: Path) -> str:
    try:
        names = sorted(path.name + (" (a link that leads nowhere)" if _broken(path) else "") for path in root.iterdir())
    except OSError as error:
        return f"a folder that cannot be listed ({error.strerror or error})"
    return first_of(names, SHOWN) or "nothing"


def _broken(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
