"""Counts of a corpus's terms, and terms of the class for images without answers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from qaclims_path.language.corpus import CorpusAnswer, Entry, Source
from qaclims_path.language.questions import KINDS, Kind

Counts = dict[tuple[str, Kind], Counter[str]]


def count_terms(entries: Iterable[Entry]) -> Counts:
    """Count the answers of each term, by class and kind, without terms that were added to entries."""
    counts: Counts = defaultdict(Counter)
    for entry in entries:
        for kind in KINDS:
            counts[entry.label, kind].update(
                answer.text for answer in entry.answers(kind) if answer.text and answer.source == "answer"
            )
    return counts


def most_frequent(counts: Counter[str], number: int) -> list[tuple[str, int]]:
    """Return the most frequent terms with their counts; ties are in alphabetical order.

    Examples:
        >>> most_frequent(Counter(["stroma", "gland", "gland", "cell"]), 2)
        [('gland', 2), ('cell', 1)]
    """
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def filled(entry: Entry, shared: Mapping[tuple[str, Kind], Sequence[str]]) -> Entry:
    """Add shared terms of the class to an entry's kinds without texts; an entry with an error is unchanged."""
    if entry.error:
        return entry
    for kind in KINDS:
        if not entry.texts(kind):
            entry = added(entry, kind, shared.get((entry.label, kind), ()), "corpus")
    return entry


def only_answers(entry: Entry) -> Entry:
    """Remove terms that were added to an entry."""
    for kind in KINDS:
        entry = entry.with_answers(kind, tuple(answer for answer in entry.answers(kind) if answer.source == "answer"))
    return entry


def added(entry: Entry, kind: Kind, terms: Iterable[str], source: Source) -> Entry:
    """Append terms that an entry does not have yet to its answers."""
    existing = set(entry.texts(kind))
    new = tuple(CorpusAnswer("", "", term, source=source) for term in dict.fromkeys(terms) if term not in existing)
    return entry.with_answers(kind, entry.answers(kind) + new)
