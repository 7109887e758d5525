"""A corpus as one HTML page: what is said of each class how often, and example images with questions and answers.

The page needs nothing from outside: no script, no font, no network; whatever an answer holds is escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaclims_path.language.corpus import Entry
from qaclims_path.report.pages import jpeg_address, page_html

SIDE = 168  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class Shown:
    """One example: a line of the corpus and its picture as a `data:` address, empty where there is none."""

    entry: Entry
    picture: str = ""


@dataclass(frozen=True)
class Part:
    """One class of the page.

    Attributes:
        color: As its data set draws it.
        pairs: Lines about it.
        failed: Those of images that could not be read.
        foreground: The most frequent terms said of it, with their counts.
        background: The most frequent terms said of what surrounds it.
    """

    title: str
    color: tuple[int, int, int] | None
    definition: str
    pairs: int
    failed: int
    foreground: tuple[tuple[str, int], ...]
    background: tuple[tuple[str, int], ...]
    examples: tuple[Shown, ...]


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes:
        file: Name of the corpus.
        made: Who answered which questions.
        pictured: Whether pictures were asked for.
    """

    title: str
    file: str
    made: Mapping[str, str]
    parts: tuple[Part, ...]
    pictured: bool


def corpus_page(page: Page) -> str:
    """The page as HTML.

    Example:
        >>> "<h1>Corpus</h1>" in corpus_page(Page("Corpus", "corpus.jsonl", {}, (), False))
        True
    """
    return page_html("corpus.html", styles=["page.css"], page=page)


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """A picture (H W 3) as a small JPEG inside a `data:` address."""
    return jpeg_address(pixels, SIDE)
