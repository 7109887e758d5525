"""Showing a corpus: the most frequent terms of each class and example images, on a screen or as a page."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qaclims_path.config import read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.progress import track
from qaclims_path.language.corpus import Entry, read_corpus
from qaclims_path.language.counting import most_said
from qaclims_path.language.questions import KINDS, Kind
from qaclims_path.pipeline.corpus.options import config_path
from qaclims_path.report.corpus import Page, Part, Shown, corpus_page, thumbnail

Terms = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ClassShown:
    """One class of a corpus.

    Attributes:
        pairs: Lines about it.
        failed: Those of images that could not be read.
        foreground: The most frequent terms said of it, with their counts.
        background: The most frequent terms said of what surrounds it.
        examples: Some of its lines, drawn by the seed.
    """

    label: str
    pairs: int
    failed: int
    foreground: Terms
    background: Terms
    examples: tuple[Entry, ...]


@dataclass(frozen=True)
class ShowReport:
    """What a corpus says.

    Attributes:
        page: The page that was written, where one was asked for.
        without_picture: Images on the page whose picture was not found or could not be read.
    """

    corpus: str
    classes: tuple[ClassShown, ...]
    page: str | None = None
    without_picture: int = 0


def show_corpus(
    corpus: Path, *, terms: int = 20, examples: int = 6, image: str | None = None, seed: int = 0
) -> ShowReport:
    """Count the terms of each class and draw example lines, in one pass.

    Args:
        corpus: The file.
        terms: How many of the most frequent ones.
        examples: How many lines of each class.
        image: Only the lines of this image.
        seed: Of the choice of lines.

    Example:
        >>> show_corpus(Path("corpus.jsonl")).classes[0].foreground[:2]  # doctest: +SKIP
        (('nests of tumor cells', 412), ('crowded pleomorphic nuclei', 388))
    """
    found: dict[str, _Class] = {}
    draw = random.Random(seed)  # noqa: S311 - which lines are shown is no secret
    for entry in track(read_corpus(corpus), "reading"):
        if image is None or entry.image == image:
            found.setdefault(entry.label, _Class()).add(entry, examples, draw)
    if not found:
        raise UsageError(f"{corpus} holds no line" + (f" about the image '{image}'." if image else "."))
    return ShowReport(str(corpus), tuple(one.shown(label, terms) for label, one in found.items()))


def write_page(
    report: ShowReport, page: Path, *, card: Card | None = None, root: Path | None = None, split: str | None = None
) -> ShowReport:
    """Write a report as one HTML file that needs nothing else; the same report gives the same bytes.

    Args:
        report: Of `show_corpus`.
        page: The file.
        card: For titles, colours and definitions of the classes; the one that the corpus was built with if not given.
        root: Where the images lie; without it the page has no pictures.
        split: Of the images; the one that the corpus was built with if not given.
    """
    corpus = Path(report.corpus)
    made = read_yaml(config_path(corpus)) if config_path(corpus).exists() else {}
    card = card or _card_of(corpus, made.get("dataset"), needed=root is not None)
    drawn = pictures_of(report, card, root, split or str(made.get("split", "train")))
    shown = {entry.image for one in report.classes for entry in one.examples}
    provenance = provenance_of(report)
    title = f"Corpus of {card.title}" if card is not None else "Corpus"
    parts = tuple(part_of(one, card, drawn) for one in report.classes)
    write_text(page, corpus_page(Page(title, corpus.name, provenance, parts, root is not None)))
    return replace(report, page=str(page), without_picture=sum(not drawn.get(name) for name in shown) if root else 0)


def pictures_of(report: ShowReport, card: Card | None, root: Path | None, split: str) -> dict[str, str]:
    """Thumbnails of the examples by the names of their images; none without a card and the folder of the data."""
    if card is None or root is None:
        return {}
    shown = {entry.image for one in report.classes for entry in one.examples}
    return {record.id: _drawn(record) for record in list_records(card, root, split) if record.id in shown}


def provenance_of(report: ShowReport) -> dict[str, str]:
    """Who answered which questions, as the examples say it."""
    return {key: value for one in report.classes for entry in one.examples for key, value in entry.provenance.items()}


def part_of(one: ClassShown, card: Card | None, drawn: Mapping[str, str]) -> Part:
    """A class as a page shows it.

    Args:
        one: What is said of it.
        card: For its title, colour and definition.
        drawn: Pictures by the names of images.
    """
    info = next((info for info in card.classes if info.name == one.label), None) if card is not None else None
    return Part(
        title=one.label if info is None else info.title,
        color=None if info is None else info.color,
        definition="" if info is None else info.definition,
        pairs=one.pairs,
        failed=one.failed,
        foreground=one.foreground,
        background=one.background,
        examples=tuple(Shown(entry, drawn.get(entry.image, "")) for entry in one.examples),
    )


def _card_of(corpus: Path, dataset: object, *, needed: bool) -> Card | None:
    """The card that a corpus was built with; None where it is not known and nothing depends on it."""
    try:
        if dataset is None:
            raise UsageError(f"What data set {corpus} is of is not written beside it. Give --dataset or --card.")
        return load_card(str(dataset))
    except UsageError:  # of a card given by its path, only the name is written down
        if needed:
            raise
        return None


@dataclass
class _Class:
    """What is gathered about a class; examples are a reservoir, so that every line is as likely."""

    pairs: int = 0
    failed: int = 0
    terms: dict[Kind, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    examples: list[tuple[int, Entry]] = field(default_factory=list)

    def add(self, entry: Entry, examples: int, draw: random.Random) -> None:
        """Count one line, and perhaps keep it."""
        self.pairs += 1
        if entry.error:
            self.failed += 1
            return
        for kind in KINDS:
            self.terms[kind].update(said.text for said in entry.said(kind) if said.text and said.source == "answer")
        if len(self.examples) < examples:
            self.examples.append((self.pairs, entry))
        elif (place := draw.randrange(self.pairs - self.failed)) < examples:
            self.examples[place] = (self.pairs, entry)

    def shown(self, label: str, terms: int) -> ClassShown:
        """What is shown of it, examples in the order of the corpus."""
        foreground, background = (tuple(most_said(self.terms[kind], terms)) for kind in KINDS)
        examples = tuple(entry for _, entry in sorted(self.examples, key=lambda item: item[0]))
        return ClassShown(label, self.pairs, self.failed, foreground, background, examples)


def _drawn(record: Record) -> str:
    try:
        return thumbnail(record.image.pixels())
    except QaclimsError:  # gone or damaged since it was asked about; the page says so
        return ""
