"""Statistics of a corpus: numbers of answers, of kept answers, and whether its terms distinguish the classes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qaclims_path.files.progress import track
from qaclims_path.language.corpus import Entry, read_corpus
from qaclims_path.language.counting import most_frequent
from qaclims_path.language.questions import KINDS, Kind

SHOWN = 5


@dataclass(frozen=True)
class KindStats:
    """Answers about a class, or about its surroundings.

    Attributes:
        answers: Number of answers.
        kept: Number of answers that cleaning kept.
        unlike: Number of answers that were dropped because the judge found them too unlike their image.
        terms: Number of different terms that were kept.
        per_pair: Mean number of different terms per image, over the images that have any.
        most: The most frequent terms with their counts.
        closest: The class with the most similar terms; empty where no term is shared.
        overlap: Overlap of the term distributions of both classes, 0..1; at 1 the answers do not distinguish them.
    """

    answers: int
    kept: int
    unlike: int
    terms: int
    per_pair: float | None
    most: tuple[tuple[str, int], ...]
    closest: str = ""
    overlap: float | None = None


@dataclass(frozen=True)
class ClassStats:
    """One class.

    Attributes:
        pairs: Number of lines about it.
        without: Number of lines without a kept answer about the class.
        added: Number of terms that were added, from other images of the class or from the card.
    """

    label: str
    pairs: int
    without: int
    added: int
    foreground: KindStats
    background: KindStats


@dataclass(frozen=True)
class QuestionStats:
    """One question of the bank, over all classes; `example` is its first wording."""

    kind: Kind
    example: str
    answers: int
    kept: int
    most: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CorpusStats:
    """Statistics of a corpus.

    Attributes:
        images: Number of images, where the lines of an image are neighbours.
        failed: Number of lines whose image could not be read.
        answerers: Number of lines by provenance.
    """

    corpus: str
    lines: int
    images: int
    failed: int
    answerers: dict[str, int]
    classes: tuple[ClassStats, ...]
    questions: tuple[QuestionStats, ...]


@dataclass
class _Tally:
    """Counts of a class while the corpus is read."""

    pairs: int = 0
    without: int = 0
    added: int = 0
    answers: Counter[Kind] = field(default_factory=Counter)
    unlike: Counter[Kind] = field(default_factory=Counter)
    distinct: Counter[Kind] = field(default_factory=Counter)
    with_any: Counter[Kind] = field(default_factory=Counter)
    terms: dict[Kind, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})

    def count(self, entry: Entry) -> None:
        """Count one line."""
        self.pairs += 1
        for kind in KINDS:
            said = [one for one in entry.answers(kind) if one.source == "answer"]
            kept = [one.text for one in said if one.text]
            self.added += len(entry.answers(kind)) - len(said)
            self.answers[kind] += len(said)
            self.unlike[kind] += sum(one.unlike for one in said)
            self.terms[kind].update(kept)
            self.distinct[kind] += len(set(kept))
            self.with_any[kind] += bool(kept)
            self.without += kind == "foreground" and not kept


def corpus_stats(corpus: Path) -> CorpusStats:
    """Count a corpus in one pass.

    Examples:
        >>> corpus_stats(Path("corpus.jsonl")).classes[0].foreground.overlap  # doctest: +SKIP
        0.12
    """
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    questions: dict[tuple[Kind, int], _Asked] = {}
    answerers: Counter[str] = Counter()
    failed = images = 0
    last = None
    for entry in track(read_corpus(corpus), "counting"):
        tallies[entry.label].count(entry)
        answerers[", ".join(f"{key} {value}" for key, value in entry.provenance.items()) or "unknown"] += 1
        failed += bool(entry.error)
        images += entry.image != last
        last = entry.image
        _count_questions(questions, entry)
    return CorpusStats(
        corpus=str(corpus),
        lines=sum(answerers.values()),
        images=images,
        failed=failed,
        answerers=dict(answerers),
        classes=tuple(_class_stats(label, tallies) for label in tallies),
        questions=tuple(_question_stats(questions)),
    )


@dataclass
class _Asked:
    example: str
    answers: int = 0
    terms: Counter[str] = field(default_factory=Counter)


def _count_questions(questions: dict[tuple[Kind, int], _Asked], entry: Entry) -> None:
    """Count questions by their position, because their wording holds the name of the class."""
    for kind in KINDS:
        for position, said in enumerate(entry.answers(kind)):
            if said.source == "answer":
                asked = questions.setdefault((kind, position), _Asked(said.question))
                asked.answers += 1
                if said.text:
                    asked.terms[said.text] += 1


def _class_stats(label: str, tallies: Mapping[str, _Tally]) -> ClassStats:
    tally = tallies[label]
    foreground, background = (_kind_stats(label, kind, tallies) for kind in KINDS)
    return ClassStats(label, tally.pairs, tally.without, tally.added, foreground, background)


def _kind_stats(label: str, kind: Kind, tallies: Mapping[str, _Tally]) -> KindStats:
    tally = tallies[label]
    terms = tally.terms[kind]
    others = {other: overlap(terms, found.terms[kind]) for other, found in tallies.items() if other != label}
    closest = max((other for other in others if others[other]), key=others.__getitem__, default="")
    return KindStats(
        answers=tally.answers[kind],
        kept=terms.total(),
        unlike=tally.unlike[kind],
        terms=len(terms),
        per_pair=tally.distinct[kind] / tally.with_any[kind] if tally.with_any[kind] else None,
        most=tuple(most_frequent(terms, SHOWN)),
        closest=closest,
        overlap=others.get(closest, 0.0) if terms else None,
    )


def overlap(one: Counter[str], other: Counter[str]) -> float:
    """Overlap of two distributions of terms, 0..1: the sum of the smaller shares.

    Examples:
        >>> overlap(Counter(gland=3, cell=1), Counter(cell=2))
        0.25
    """
    if not one or not other:
        return 0.0
    return sum(min(count / one.total(), other[term] / other.total()) for term, count in one.items())


def _question_stats(questions: Mapping[tuple[Kind, int], _Asked]) -> Iterator[QuestionStats]:
    for kind in KINDS:
        for (of_kind, _), asked in sorted(questions.items(), key=lambda item: item[0][1]):
            if of_kind == kind:
                most = tuple(most_frequent(asked.terms, SHOWN))
                yield QuestionStats(kind, asked.example, asked.answers, asked.terms.total(), most)
