"""Show a corpus: the most frequent terms of each class and example images, on the screen or as a page."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
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
from qaclims_path.language.counting import most_frequent
from qaclims_path.language.questions import KINDS, Kind
from qaclims_path.pipeline.corpus.options import ShowOptions, config_path
from qaclims_path.report.corpus import Page, Part, Shown, corpus_page, thumbnail

WARNING = "warning"  # key of the provenance
Terms = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ClassShown:
    """One class of a corpus.

    Attributes:
        pairs: Number of lines about the class.
        failed: Number of lines whose image could not be read.
        foreground: The most frequent terms for the class, with their counts.
        background: The most frequent terms for the surroundings of the class.
        examples: Some of the lines, drawn with the seed.
    """

    label: str
    pairs: int
    failed: int
    foreground: Terms
    background: Terms
    examples: tuple[Entry, ...]


@dataclass(frozen=True)
class ShowReport:
    """Terms and examples of a corpus.

    Attributes:
        page: The page that was written, if any.
        without_picture: Number of images on the page whose picture could not be read.
    """

    corpus: str
    classes: tuple[ClassShown, ...]
    page: str | None = None
    without_picture: int = 0


def show_corpus(corpus: Path, options: ShowOptions = ShowOptions()) -> ShowReport:  # noqa: B008 - frozen
    """Count the terms of each class and draw example lines, in one pass.

    Examples:
        >>> show_corpus(Path("corpus.jsonl")).classes[0].foreground[:2]  # doctest: +SKIP
        (('nests of tumor cells', 412), ('crowded pleomorphic nuclei', 388))
    """
    found: dict[str, _Class] = {}
    image = options.image
    draw = random.Random(options.seed)  # noqa: S311 - the choice of lines is no secret
    for entry in track(read_corpus(corpus), "reading"):
        if image is None or entry.image == image:
            found.setdefault(entry.label, _Class()).add(entry, options.examples, draw)
    if not found:
        raise UsageError(f"{corpus} holds no line" + (f" about the image '{image}'." if image else "."))
    return ShowReport(str(corpus), tuple(one.shown(label, options.terms) for label, one in found.items()))


def write_page(
    report: ShowReport, page: Path, *, card: Card | None = None, root: Path | None = None, split: str | None = None
) -> ShowReport:
    """Write a report as one self-contained HTML file; the same report gives the same bytes.

    Args:
        report: Result of `show_corpus`.
        page: The file.
        card: Card with titles, colours and definitions of the classes; by default that of the corpus.
        root: Folder of the data; without it the page has no pictures.
        split: Split of the images; by default that of the corpus.
    """
    corpus = Path(report.corpus)
    made = read_yaml(config_path(corpus)) if config_path(corpus).exists() else {}
    card = card or _card_of(corpus, made.get("dataset"), needed=root is not None)
    drawn = pictures_of(report, card, root, split or str(made.get("split", "train")))
    shown = {entry.image for one in report.classes for entry in one.examples}
    title = f"Corpus of {card.title}" if card is not None else "Corpus"
    parts = tuple(part_of(one, card, drawn) for one in report.classes)
    write_text(
        page, corpus_page(Page(title, corpus.name, provenance_of(report), parts, root is not None, warnings_of(report)))
    )
    return replace(report, page=str(page), without_picture=sum(not drawn.get(name) for name in shown) if root else 0)


def pictures_of(report: ShowReport, card: Card | None, root: Path | None, split: str) -> dict[str, str]:
    """Return thumbnails of the examples by image name; none without a card and the folder of the data."""
    if card is None or root is None:
        return {}
    shown = {entry.image for one in report.classes for entry in one.examples}
    return {record.id: _drawn(record) for record in list_records(card, root, split) if record.id in shown}


def provenance_of(report: ShowReport) -> dict[str, str]:
    """Answerer and question bank, as the examples state them, without warnings."""
    return {key: value for key, value in _stated(report) if key != WARNING}


def warnings_of(report: ShowReport) -> tuple[str, ...]:
    """Warnings of the answerer, as the examples state them, each once and as a sentence."""
    return tuple(dict.fromkeys(f"{value[:1].upper()}{value[1:]}." for key, value in _stated(report) if key == WARNING))


def _stated(report: ShowReport) -> Iterator[tuple[str, str]]:
    for one in report.classes:
        for entry in one.examples:
            yield from entry.provenance.items()


def part_of(one: ClassShown, card: Card | None, drawn: Mapping[str, str]) -> Part:
    """Make the part of a page about a class.

    Args:
        one: The class.
        card: Card with the title, colour and definition of the class.
        drawn: Pictures by image name.
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
    """Return the card that a corpus was built with; None where it is unknown and not needed."""
    try:
        if dataset is None:
            raise UsageError(f"The data set of {corpus} is not written beside it. Give --dataset or --card.")
        return load_card(str(dataset))
    except UsageError:  # the corpus of a card that was given by path holds only its name
        if needed:
            raise
        return None


@dataclass
class _Class:
    """Counts and examples of a class; the examples are a reservoir sample, so every line is equally likely."""

    pairs: int = 0
    failed: int = 0
    terms: dict[Kind, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    examples: list[tuple[int, Entry]] = field(default_factory=list)

    def add(self, entry: Entry, examples: int, draw: random.Random) -> None:
        """Count one line, and perhaps keep it as an example."""
        self.pairs += 1
        if entry.error:
            self.failed += 1
            return
        for kind in KINDS:
            self.terms[kind].update(said.text for said in entry.answers(kind) if said.text and said.source == "answer")
        if len(self.examples) < examples:
            self.examples.append((self.pairs, entry))
        elif (index := draw.randrange(self.pairs - self.failed)) < examples:
            self.examples[index] = (self.pairs, entry)

    def shown(self, label: str, terms: int) -> ClassShown:
        """Make the summary, with examples in the order of the corpus."""
        foreground, background = (tuple(most_frequent(self.terms[kind], terms)) for kind in KINDS)
        examples = tuple(entry for _, entry in sorted(self.examples, key=lambda item: item[0]))
        return ClassShown(label, self.pairs, self.failed, foreground, background, examples)


def _drawn(record: Record) -> str:
    try:
        return thumbnail(record.image.pixels())
    except QaclimsError:  # removed or damaged since; the page says so
        return ""
