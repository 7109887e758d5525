"""Terms of a corpus: how often they were said, and how images without answers get those of their class."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from qaclims_path.language.corpus import Entry, Said, Source
from qaclims_path.language.questions import KINDS, Kind

Counts = dict[tuple[str, Kind], Counter[str]]


def count_terms(entries: Iterable[Entry]) -> Counts:
    """How often each term was answered, by class and kind; terms that were added to an entry do not count."""
    counts: Counts = defaultdict(Counter)
    for entry in entries:
        for kind in KINDS:
            counts[entry.label, kind].update(
                said.text for said in entry.said(kind) if said.text and said.source == "answer"
            )
    return counts


def most_said(counts: Counter[str], number: int) -> list[tuple[str, int]]:
    """The most frequent terms with their counts; of equal ones the first in the alphabet.

    Example:
        >>> most_said(Counter(["stroma", "gland", "gland", "cell"]), 2)
        [('gland', 2), ('cell', 1)]
    """
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def filled(entry: Entry, shared: Mapping[tuple[str, Kind], Sequence[str]]) -> Entry:
    """An entry whose empty kinds got the terms that its class shares; one that could not be read stays as it is."""
    if entry.error:
        return entry
    for kind in KINDS:
        if not entry.texts(kind):
            entry = added(entry, kind, shared.get((entry.label, kind), ()), "corpus")
    return entry


def only_answers(entry: Entry) -> Entry:
    """An entry without the terms that were added to it."""
    for kind in KINDS:
        entry = entry.with_said(kind, tuple(said for said in entry.said(kind) if said.source == "answer"))
    return entry


def added(entry: Entry, kind: Kind, terms: Iterable[str], source: Source) -> Entry:
    """An entry with further terms behind its answers; those that it has already are not added again."""
    there = set(entry.texts(kind))
    new = tuple(Said("", "", term, source=source) for term in dict.fromkeys(terms) if term not in there)
    return entry.with_said(kind, entry.said(kind) + new)
