"""The classes that answers name, and how often these are in the image.

An answer names a class when it contains one of its names, or is a term that the lexicon lists for it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import ClassInfo
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import Kind, Question, QuestionBank
from qaclims_path.language.terms import names_of
from qaclims_path.language.words import contains, key

SHOWN = 3


@dataclass(frozen=True)
class Words:
    """The words of a data set: its card, its questions, and the classes of each term."""

    card: Card
    bank: QuestionBank
    lexicon: Lexicon | None
    organ: str | None

    def named(self, text: str) -> frozenset[int]:
        """Return indices of the classes that a text names."""
        plain = key(re.sub(r"[^\w\s-]", " ", text))
        term = self.lexicon.find(text) if self.lexicon else None
        listed = set(term.classes) if term else set()
        return frozenset(
            index
            for index, info in enumerate(self.card.classes)
            if any(contains(plain, key(name)) for name in names_of(info)) or listed & self._lexicon_classes(info)
        )

    def _lexicon_classes(self, info: ClassInfo) -> set[str]:
        return self.lexicon.classes_of(info) if self.lexicon else set()


@dataclass(frozen=True)
class Reply:
    """One answer about one image, the classes that are in the image, the one asked about, if any, and unknown ones."""

    image: str
    question: Question
    text: str
    present: frozenset[int]
    label: int | None
    unknown: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ProbeRow:
    """The answers to questions of one kind and topic; each counts in one of `itself` to `empty`, the first that fits.

    Attributes:
        asked: Number of questions.
        itself: Answers that name the class asked about.
        present: Answers that name another class that is in the image.
        absent: Answers that name only classes that are not in the image; classes that are unknown there do not count.
        neither: Answers that name no class.
        empty: Questions without an answer.
        hit: Share of answers that name a class that is in the image.
        chance: Share of answers that name a class of another image, averaged over the other images.
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


def rows(replies: Sequence[Reply], words: Words) -> Iterator[ProbeRow]:
    """Count answers: one row per kind and topic, in the order of the questions."""
    groups: dict[tuple[Kind, str], list[Reply]] = defaultdict(list)
    for reply in replies:
        groups[reply.question.kind, reply.question.topic].append(reply)
    for (kind, topic), group in groups.items():
        named = [words.named(reply.text) - reply.unknown if reply.text else frozenset[int]() for reply in group]
        counts = Counter(_verdict(reply, classes) for reply, classes in zip(group, named, strict=True))
        texts = [reply.text for reply in group if reply.text]
        yield ProbeRow(
            kind=kind,
            topic=topic,
            asked=len(group),
            itself=counts["itself"],
            present=counts["present"],
            absent=counts["absent"],
            neither=counts["neither"],
            empty=counts["empty"],
            hit=(counts["itself"] + counts["present"]) / len(texts) if texts else None,
            chance=_chance(group, named),
            different=len(set(texts)),
            most=tuple(Counter(texts).most_common(SHOWN)),
        )


def _verdict(reply: Reply, named: frozenset[int]) -> str:
    if not reply.text:
        return "empty"
    if reply.label in named:
        return "itself"
    if named & reply.present:
        return "present"
    return "absent" if named else "neither"


def _chance(replies: Sequence[Reply], named: Sequence[frozenset[int]]) -> float | None:
    """Return the share of pairs of an answer and another image in which the answer names a class of that image."""
    images = Counter({reply.image: reply.present for reply in replies}.values())
    total = images.total()
    hits = [
        (sum(count for present, count in images.items() if classes & present) - bool(classes & reply.present))
        for reply, classes in zip(replies, named, strict=True)
        if reply.text
    ]
    return sum(hits) / (len(hits) * (total - 1)) if hits and total > 1 else None
