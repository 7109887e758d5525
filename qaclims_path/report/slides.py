"""Slides on pages: pictures with shares of classes, and a table of them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.files.numbers import ON_PAGES, area_text, parse_number, percent_text, significant
from qaclims_path.report.pages import jpeg_address

Color = tuple[int, int, int]
QUALITY = 76  # of JPEG
PERCENT, MM2 = "_percent", "_mm2"
TITLES = {"mpp_um": "µm per pixel", "map_mpp_um": "µm per pixel of the map", "labelled_mm2": "labelled area"}
LEFT_OUT = ("path", "kind")  # columns that a page does not need


@dataclass(frozen=True)
class Share:
    """Percentage of a class on a slide."""

    title: str
    color: Color
    percent: float

    @property
    def text(self) -> str:
        """The percentage for people."""
        return percent_text(self.percent)


@dataclass(frozen=True)
class Picture:
    """One picture of a slide: a `data:` address, its width and height, and its description."""

    address: str
    size: tuple[int, int]
    alt: str


@dataclass(frozen=True)
class SlideShown:
    """One slide or image.

    Attributes:
        pictures: Under its classes, and where these are unsure.
        shares: Classes that it has, in the order of the classes.
        facts: Area and confidence, as short texts.
        notes: Warnings, as sentences.
        links: Files beside the page, as pairs of text and relative path; a picture opens the one at its place.
    """

    name: str
    pictures: tuple[Picture, ...] = ()
    shares: tuple[Share, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cell:
    """Text of a cell, and the value by which it sorts."""

    text: str
    value: str


@dataclass(frozen=True)
class SlideTable:
    """A table with a row per slide; `numeric` says which columns hold numbers, `left_out` counts rows not shown."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0


def picture_of(pixels: NDArray[np.uint8], alt: str, side: int) -> Picture:
    """Embed a picture (H W 3), made smaller where its longer side is above `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return Picture(jpeg_address(np.asarray(image), side, QUALITY), image.size, alt)


def slide_table(
    title: str, lines: Sequence[Mapping[str, str]], titles: Mapping[str, str], most: int
) -> SlideTable | None:
    """Lay a table of slides out for people: percentages first, then areas, then the rest; empty columns are left out.

    Args:
        title: Name of the file.
        lines: Rows of the file, with a name in the first column.
        titles: Titles of classes by name.
        most: Number of rows to show.
    """
    if not lines:
        return None
    first, *others = (key for key in lines[0] if key not in LEFT_OUT)
    used = [key for key in others if any(line[key] for line in lines)]
    keys = [first, *sorted(used, key=lambda key: (not key.endswith(PERCENT), not key.endswith(MM2)))]
    shown = lines[:most]
    numeric = [key != first and all(_is_number(line[key]) for line in shown) for key in keys]
    rows = [tuple(_cell(key, line[key]) for key in keys) for line in shown]
    names = tuple(_title(key, titles) for key in keys)
    return SlideTable(title, names, tuple(numeric), tuple(rows), len(lines) - len(shown))


def _title(key: str, titles: Mapping[str, str]) -> str:
    if key in TITLES:
        return TITLES[key]
    for ending, unit in ((PERCENT, "%"), (MM2, "area")):
        if key.endswith(ending):
            name = key.removesuffix(ending)
            return f"{titles.get(name, name)} {unit}"
    return key


def _is_number(text: str) -> bool:
    return text == "" or parse_number(text) is not None


def _cell(key: str, text: str) -> Cell:
    number = parse_number(text)
    if number is None or not key.endswith((PERCENT, MM2, "_um", "confidence")):
        return Cell(text, text)
    if key.endswith(MM2):
        return Cell(area_text(number, ON_PAGES), text)
    return Cell(percent_text(number).removesuffix(" %") if key.endswith(PERCENT) else significant(number), text)
