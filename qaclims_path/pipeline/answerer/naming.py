"""Which classes an answer names, and how often they are the ones in the image.

An answer names a class when it holds one of its names, or is a term that the lexicon says of it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qaclims_path.data.card import Card, ClassInfo
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import Kind, Question, QuestionBank
from qaclims_path.language.terms import names_of
from qaclims_path.language.words import contains, key

SHOWN = 3


@dataclass(frozen=True)
class Words:
    """The words of a data set: its card, the questions, and what terms are said of."""

    card: Card
    bank: QuestionBank
    lexicon: Lexicon | None
    organ: str | None

    def named(self, text: str) -> frozenset[int]:
        """Indices of the classes that a text names."""
        plain = key(re.sub(r"[^\w\s-]", " ", text))
        term = self.lexicon.find(text) if self.lexicon else None
        said_of = set(term.classes) if term else set()
        return frozenset(
            index
            for index, info in enumerate(self.card.classes)
            if any(contains(plain, key(name)) for name in names_of(info)) or said_of & self._known_as(info)
        )

    def _known_as(self, info: ClassInfo) -> set[str]:
        return self.lexicon.classes_of(info) if self.lexicon else set()


@dataclass(frozen=True)
class Heard:
    """One answer about one image, the classes that are in it, and the one asked about, if any."""

    image: str
    question: Question
    text: str
    present: frozenset[int]
    label: int | None


@dataclass(frozen=True)
class ProbeRow:
    """The answers to questions of one kind and topic. Each counts once, under the first of these that fits.

    Attributes:
        asked: Questions asked.
        itself: Answers that name the class asked about.
        present: Answers that name another class that is in the image.
        absent: Answers that name only classes that are not in the image.
        neither: Answers that name no class.
        empty: Questions without an answer.
        hit: Share of the answers that name a class which is in the image.
        chance: The same for the other images.
        different: Number of different answers.
        most: The most frequent answers with their counts.
    """

    kind: str
    topic: str
    asked: int
    itself: int
    present: int
    absent: int
    neither: int
    empty: int
    hit: float | None
    chance: float | None
    different: int
    most: tuple[tuple[str, int], ...]


def rows(heard: Sequence[Heard], words: Words) -> Iterator[ProbeRow]:
    """One row per kind and topic, in the order of the questions."""
    groups: dict[tuple[Kind, str], list[Heard]] = defaultdict(list)
    for one in heard:
        groups[one.question.kind, one.question.topic].append(one)
    for (kind, topic), found in groups.items():
        named = [words.named(one.text) if one.text else frozenset[int]() for one in found]
        counts = Counter(_verdict(one, classes) for one, classes in zip(found, named, strict=True))
        said = [one.text for one in found if one.text]
        yield ProbeRow(
            kind=kind,
            topic=topic,
            asked=len(found),
            itself=counts["itself"],
            present=counts["present"],
            absent=counts["absent"],
            neither=counts["neither"],
            empty=counts["empty"],
            hit=(counts["itself"] + counts["present"]) / len(said) if said else None,
            chance=_chance(found, named),
            different=len(set(said)),
            most=tuple(Counter(said).most_common(SHOWN)),
        )


def _verdict(one: Heard, named: frozenset[int]) -> str:
    if not one.text:
        return "empty"
    if one.label in named:
        return "itself"
    if named & one.present:
        return "present"
    return "absent" if named else "neither"


def _chance(found: Sequence[Heard], named: Sequence[frozenset[int]]) -> float | None:
    """How often the answers would name a class that is there if they were about the other images."""
    images = Counter({one.image: one.present for one in found}.values())
    total = images.total()
    hits = [
        (sum(count for present, count in images.items() if classes & present) - bool(classes & one.present))
        for one, classes in zip(found, named, strict=True)
        if one.text
    ]
    return sum(hits) / (len(hits) * (total - 1)) if hits and total > 1 else None
