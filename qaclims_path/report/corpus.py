"""A corpus as one HTML page: frequent terms of each class, and example images with questions and answers.

The page loads nothing: no script, no font, no network. Answers are escaped.
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
    """One example: a line of the corpus, and its image as a `data:` address or an empty text."""

    entry: Entry
    picture: str = ""


@dataclass(frozen=True)
class Part:
    """One class of the page.

    Attributes:
        color: Colour of the class on the card.
        pairs: Lines of the corpus about the class.
        failed: Lines of images that could not be read.
        foreground: The most frequent terms for the class, with their counts.
        background: The most frequent terms for its surroundings, with their counts.
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
    """Content of the page.

    Attributes:
        file: Name of the corpus file.
        made: Answerer and questions.
        warnings: Warnings of the answerer, as sentences.
        pictured: Whether the page shows images.
    """

    title: str
    file: str
    made: Mapping[str, str]
    parts: tuple[Part, ...]
    pictured: bool
    warnings: tuple[str, ...] = ()


def corpus_page(page: Page) -> str:
    """Write the page as HTML.

    Examples:
        >>> "<h1>Corpus</h1>" in corpus_page(Page("Corpus", "corpus.jsonl", {}, (), False))
        True
    """
    return page_html("corpus.html", styles=["page.css"], page=page)


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """Encode an image (H W 3) as a small JPEG in a `data:` address."""
    return jpeg_address(pixels, SIDE)
