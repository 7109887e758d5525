"""A card holds all facts about one data set: classes, codes, splits, protocols, published results, licence.

The package uses label indices: 0..C-1 for the classes in card order, C for background, 255 for ignored pixels. Files on
disk keep the codes of their publisher; `Card.decode` and `Card.encode` translate between the two.
"""

import re
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from qaclims_path.config import Options
from qaclims_path.data.card_parts import Background, ClassInfo, Name, Published, Split, check_pattern
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.registry import suggest

IGNORE = 255
UNKNOWN = 254
MAX_CLASSES = 250
BACKGROUND_NAME = "background"
IGNORE_NAME = "ignore"


class Card(Options):
    """All facts about one data set; see `datasets/README.md` for every field with examples."""

    name: Name
    title: str
    domain: Literal["pathology", "natural", "any"]
    organ: str = ""
    stain: str = ""
    demonstration: str = ""
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
        """Convert keys to text, and drop entries set to null: they delete an entry of the extended card."""
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
        """Class names in the order of label indices."""
        return tuple(info.name for info in self.classes)

    @property
    def background_index(self) -> int:
        """Label index of background: one after the last class."""
        return len(self.classes)

    @cached_property
    def decoder(self) -> NDArray[np.uint8]:
        """256 entries: label index of each code on disk; `UNKNOWN` for codes that the card lacks."""
        table = np.full(256, UNKNOWN, np.uint8)
        for key, target in self.codes.items():
            table[list(code_range(key))] = self._index(target)
        return table

    @cached_property
    def encoder(self) -> NDArray[np.uint8]:
        """256 entries: first listed code of each label index; 255 for ignored pixels unless the card has a code."""
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
        """Translate codes on disk (H W) to label indices; refuse codes that the card lacks, naming the `source`."""
        labels: NDArray[np.uint8] = self.decoder[codes]
        if (labels == UNKNOWN).any():
            unknown = ", ".join(str(code) for code in np.unique(codes[labels == UNKNOWN])[:8])
            raise BadFile(
                f"{source} holds the code {unknown}, which the card '{self.name}' does not have. {self.codes_text}"
            )
        return labels

    def encode(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate label indices (H W) to the codes on disk."""
        codes: NDArray[np.uint8] = self.encoder[labels]
        return codes

    @property
    def codes_text(self) -> str:
        """List of the codes and their classes, for messages."""
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
        """768 numbers: colours by code on disk, for PNG files."""
        colors = self.palette[self.decoder]
        return [int(value) for value in colors.reshape(-1)]

    def split(self, name: str) -> Split:
        """Return a split by name; an unknown name is an error that suggests a known one."""
        if name not in self.splits:
            raise UsageError(f"The data set '{self.name}' has no split '{name}'. {suggest(name, list(self.splits))}")
        return self.splits[name]

    def published_like(self, split: str, protocol: str, gate: str, what: str | None) -> tuple[Published, ...]:
        """List the published rows with this split, protocol, gate and scored output; None means any output."""
        conditions = (split, protocol, gate)
        rows = [row for row in self.published if (row.split, row.protocol, row.gate) == conditions]
        return tuple(row for row in rows if what in (None, row.what))

    def patient_of(self, image_name: str) -> str | None:
        """Read the patient from an image's name; None if the card has no pattern or it does not match."""
        match = re.search(self.patient, image_name) if self.patient else None
        if match is None:
            return None
        return match.group(1) if match.re.groups else match.group(0)


def code_range(key: str) -> range:
    """Parse a key of `codes`: one code such as `3`, or a range such as `1-255`.

    Examples:
        >>> list(code_range("2-4"))
        [2, 3, 4]
    """
    match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", key)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (256, 256)
    if not first <= last <= 255:
        raise ValueError(f"'{key}' is not a mask code; write 0..255 or a range such as 1-255")
    return range(first, last + 1)
