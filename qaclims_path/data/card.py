"""A card holds all facts about one data set: classes, codes, splits, protocols, published results, licence.

Label indices, used everywhere inside the package: the classes in card order are 0..C-1, background is C, and 255 is
ignored. Files on disk keep the codes of their publisher; `Card.decode` and `Card.encode` translate.
"""

import re
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, field_validator, model_validator

from qaclims_path.config import Options
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.registry import suggest

IGNORE = 255
UNKNOWN = 254
MAX_CLASSES = 250
BACKGROUND_NAME = "background"
IGNORE_NAME = "ignore"

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^,;/\\\x00-\x1f]+$")]
Channel = Annotated[int, Field(ge=0, le=255)]
Color = tuple[Channel, Channel, Channel]
Spellings = tuple[str, ...]
Percent = Annotated[float, Field(ge=0, le=100)]


class ClassInfo(Options):
    """One class: how it is called in files, tables and prompts, and how it is drawn."""

    name: Name
    display: str = ""
    color: Color
    synonyms: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    definition: str = ""

    @property
    def title(self) -> str:
        """The name for tables and pictures."""
        return self.display or self.name


class Background(Options):
    """What pixels of no class are, and how they are drawn."""

    display: str = "background"
    color: Color = (0, 0, 0)


class Split(Options):
    """Where one part of a data set lies. Folders and files are lists of the spellings found in the wild.

    Attributes:
        part: Whether the images are for training, validation or test; patients must not be in two parts.
        supervision: `labels` when the split trains on image-level labels (its masks are never opened), else `masks`.
        images: Folder of the images.
        masks: Folder of the masks.
        background_masks: Folder of masks whose non-zero pixels are background.
        labels_from: `name` (bits in the file name), `table` (CSV or npy), `annotations` (XML or JSON), or `masks`.
        labels: File with the image-level labels, where there is one.
        list: File naming the images of the split, one per line.
        match: Pattern that an image's name must have to belong to the split.
        mask_name: Name of an image's mask, `{stem}` being the image's name without suffix.
        count: Number of images as published.
        fake_name: Name of the fake images: `{i}`, `{patient}`, `{x}`, `{y}` and `{bits}` are filled in.
    """

    part: Literal["train", "val", "test"]
    supervision: Literal["labels", "masks"]
    images: Spellings
    masks: Spellings = ()
    background_masks: Spellings = ()
    labels_from: Literal["name", "table", "annotations", "masks"]
    labels: Spellings = ()
    list: Spellings = ()
    match: str = ""
    mask_name: str = "{stem}.png"
    count: Annotated[int, Field(ge=1)] | None = None
    fake_name: str = "image_{i:03d}.png"
    note: str = ""

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return check_pattern(pattern)

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        if self.supervision == "labels" and self.labels_from == "masks":
            raise ValueError("a split that trains on image labels cannot take them from masks")
        return self


class Published(Options):
    """One published row, with all that says how the number was made. Scores are in percent.

    Attributes:
        split: Split of the card, or another name where the row was made on images that the card cannot describe.
        what: Which maps were scored: activation maps, pseudo masks or a segmenter's output.
        protocol: Name of a protocol, or `unknown`; such a row is listed, and never shown beside a score of ours.
        dice_made: Whether Dice is the mean over classes or was computed from the mean IoU.
        per_class: IoU of the classes.
    """

    method: str
    source: str
    split: str = "test"
    what: Literal["cams", "masks", "seg"] = "seg"
    protocol: str
    gate: Literal["none", "oracle", "predicted", "unknown"]
    miou: Percent | None = None
    miou_std: Percent | None = None
    fwiou: Percent | None = None
    dice: Percent | None = None
    dice_made: Literal["per_class_mean", "from_miou", "unknown"] = "unknown"
    per_class: dict[str, Percent] = Field(default_factory=dict)
    note: str = ""


class Card(Options):
    """All facts about one data set; see `datasets/README.md` for every field with examples."""

    name: Name
    title: str
    domain: Literal["pathology", "natural", "any"]
    organ: str = ""
    stain: str = ""
    format: str
    mpp: Annotated[float, Field(gt=0, le=100)] | None = None
    magnification: Annotated[float, Field(gt=0, le=100)] | None = None
    image_size: tuple[int, int] | None = None
    classes: Annotated[tuple[ClassInfo, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    background: Background | None = None
    codes: dict[str, str]
    label_order: tuple[str, ...] = ()
    bit_separator: str = ""
    crowd_labels: bool = False
    patient: str = ""
    splits: Annotated[dict[Name, Split], Field(min_length=1)]
    protocols: Annotated[tuple[str, ...], Field(min_length=1)]
    published: tuple[Published, ...] = ()
    licence: str
    citation: str
    get: str
    public: bool = True
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("codes", "splits", mode="before")
    @classmethod
    def _plain_entries(cls, entries: object) -> object:
        """Keys become text; an entry set to null takes away what the extended card has there."""
        if not isinstance(entries, dict):
            return entries
        keys = [str(key) for key in entries]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is written twice, as a number and as text")
        return {str(key): value for key, value in entries.items() if value is not None}

    @field_validator("patient")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return check_pattern(pattern)

    @model_validator(mode="after")
    def _consistent(self) -> "Card":
        names = [info.name for info in self.classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"class {', '.join(twice)} is listed twice")
        reserved = {BACKGROUND_NAME, IGNORE_NAME} & set(names)
        if reserved:
            raise ValueError(f"a class may not be called {', '.join(sorted(reserved))}")
        self._check_codes(names)
        if not all(set(row.per_class) <= {*names, BACKGROUND_NAME} for row in self.published):
            raise ValueError("a published row scores a class that is not on the card")
        return self

    def _check_codes(self, names: list[str]) -> None:
        seen: dict[int, str] = {}
        for key, target in self.codes.items():
            if target not in (*names, BACKGROUND_NAME, IGNORE_NAME):
                raise ValueError(
                    f"code {key} is mapped to '{target}'. {suggest(target, [*names, 'background', 'ignore'])}"
                )
            for code in code_range(key):
                if code in seen:
                    raise ValueError(f"code {code} is mapped twice, to '{seen[code]}' and to '{target}'")
                seen[code] = target
        missing = [name for name in names if name not in seen.values()]
        if missing:
            raise ValueError(f"no mask code is mapped to {', '.join(missing)}")
        if BACKGROUND_NAME in seen.values() and self.background is None:
            raise ValueError("a code is mapped to background, but the card has no `background` entry")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(info.name for info in self.classes)

    @property
    def background_index(self) -> int:
        """Label index of background, one behind the last class."""
        return len(self.classes)

    @cached_property
    def decoder(self) -> NDArray[np.uint8]:
        """256 entries: code on disk to label index; `UNKNOWN` where the card has no such code."""
        table = np.full(256, UNKNOWN, np.uint8)
        for key, target in self.codes.items():
            table[list(code_range(key))] = self._index(target)
        return table

    @cached_property
    def encoder(self) -> NDArray[np.uint8]:
        """256 entries: label index to the first code listed for it; ignored is 255 where no code says otherwise."""
        table = np.full(256, IGNORE, np.uint8)
        for key, target in reversed(self.codes.items()):
            table[self._index(target)] = code_range(key)[0]
        return table

    def _index(self, target: str) -> int:
        return {
            **{name: i for i, name in enumerate(self.names)},
            BACKGROUND_NAME: self.background_index,
            IGNORE_NAME: IGNORE,
        }[target]

    def decode(self, codes: NDArray[np.uint8], source: object) -> NDArray[np.uint8]:
        """Translate codes on disk (H W) to label indices; a code the card does not have is an error."""
        labels: NDArray[np.uint8] = self.decoder[codes]
        if (labels == UNKNOWN).any():
            strange = ", ".join(str(code) for code in np.unique(codes[labels == UNKNOWN])[:8])
            raise BadFile(
                f"{source} holds the code {strange}, which the card '{self.name}' does not have. {self.codes_text}"
            )
        return labels

    def encode(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate label indices (H W) to the codes on disk."""
        codes: NDArray[np.uint8] = self.encoder[labels]
        return codes

    @property
    def codes_text(self) -> str:
        """The codes in words, for messages."""
        shown = [f"{code} {name}" for code, name in list(self.codes.items())[:24]]
        return f"Codes: {', '.join(shown)}{', ...' if len(self.codes) > 24 else ''}."

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """256 x 3 colours by label index; ignored pixels are light grey."""
        colors = np.full((256, 3), 200, np.uint8)
        colors[: len(self.classes)] = [info.color for info in self.classes]
        if self.background is not None:
            colors[self.background_index] = self.background.color
        return colors

    @cached_property
    def code_palette(self) -> list[int]:
        """768 numbers: the colours by code on disk, for PNG files."""
        colors = self.palette[self.decoder]
        return [int(value) for value in colors.reshape(-1)]

    def split(self, name: str) -> Split:
        """The split of a name; a wrong name is answered with the right ones."""
        if name not in self.splits:
            raise UsageError(f"The data set '{self.name}' has no split '{name}'. {suggest(name, list(self.splits))}")
        return self.splits[name]

    def published_like(self, split: str, protocol: str, gate: str, what: str | None) -> tuple[Published, ...]:
        """Published rows of the same split, protocol, gate and step (of any step where that is None)."""
        wanted = (split, protocol, gate)
        rows = [row for row in self.published if (row.split, row.protocol, row.gate) == wanted]
        return tuple(row for row in rows if what in (None, row.what))

    def patient_of(self, image_name: str) -> str | None:
        """The patient an image comes from, where names tell it."""
        found = re.search(self.patient, image_name) if self.patient else None
        if found is None:
            return None
        return found.group(1) if found.re.groups else found.group(0)


def code_range(key: str) -> range:
    """The codes of a key: `3`, or `1-255` for a run.

    Example:
        >>> list(code_range("2-4"))
        [2, 3, 4]
    """
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", key)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (256, 256)
    if not first <= last <= 255:
        raise ValueError(f"'{key}' is not a mask code; write 0..255 or a run such as 1-255")
    return range(first, last + 1)


def check_pattern(pattern: str) -> str:
    """Refuse a regular expression that does not compile."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
    return pattern
