"""Compare two corpora: which lines differ, and which terms of each class."""

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.digest import digest_of
from qaclims_path.files.progress import track
from qaclims_path.language.corpus import Entry, read_corpus
from qaclims_path.language.counting import Counts
from qaclims_path.language.questions import KINDS, Kind

SHOWN = 10


@dataclass(frozen=True)
class TermChange:
    """Count of a term for a class in the first corpus and in the second."""

    label: str
    kind: Kind
    term: str
    before: int
    after: int


@dataclass(frozen=True)
class LineChange:
    """The texts of one image and class in the first corpus and in the second."""

    image: str
    label: str
    kind: Kind
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class CorpusDiff:
    """Two corpora side by side.

    Attributes:
        same: Number of lines in both with the same texts in the same order; raw answers and scores may differ.
        changed: Number of lines in both with different texts.
        only_before: Number of lines in the first only.
        only_after: Number of lines in the second only.
        terms: Terms whose counts differ most, ten for each class and kind.
        lines: The first changed lines, in the order of the second corpus.
    """

    before: str
    after: str
    same: int
    changed: int
    only_before: int
    only_after: int
    terms: tuple[TermChange, ...]
    lines: tuple[LineChange, ...]


@dataclass(frozen=True)
class _Summary:
    """One corpus: keys and texts as sorted 64-bit hashes, and its terms; 16 bytes a line."""

    keys: NDArray[np.uint64]
    texts: NDArray[np.uint64]
    counts: Counts


def corpus_diff(before: Path, after: Path) -> CorpusDiff:
    """Compare two corpora line by line; their lines may be in different orders.

    Examples:
        >>> corpus_diff(Path("blip.jsonl"), Path("medgemma.jsonl")).changed  # doctest: +SKIP
        10091
    """
    first, second = _summary(before), _summary(after)
    both, in_first, in_second = np.intersect1d(first.keys, second.keys, assume_unique=True, return_indices=True)
    changed = both[first.texts[in_first] != second.texts[in_second]]
    return CorpusDiff(
        before=str(before),
        after=str(after),
        same=len(both) - len(changed),
        changed=len(changed),
        only_before=len(first.keys) - len(both),
        only_after=len(second.keys) - len(both),
        terms=tuple(_term_changes(first.counts, second.counts)),
        lines=tuple(_line_changes(before, after, changed)),
    )


def _summary(corpus: Path) -> _Summary:
    keys, texts = array("Q"), array("Q")
    counts: Counts = defaultdict(Counter)
    for entry in track(read_corpus(corpus), f"reading {corpus.name}"):
        keys.append(_key(entry))
        texts.append(_hash("\1".join("\0".join(entry.texts(kind)) for kind in KINDS)))
        for kind in KINDS:
            counts[entry.label, kind].update(entry.texts(kind))
    unique, first = np.unique(np.frombuffer(keys, np.uint64) if keys else np.zeros(0, np.uint64), return_index=True)
    return _Summary(unique, np.asarray(texts, np.uint64)[first], counts)


def _term_changes(before: Counts, after: Counts) -> list[TermChange]:
    changes = []
    for label, kind in dict.fromkeys((*before, *after)):
        one, other = before.get((label, kind), Counter()), after.get((label, kind), Counter())
        found = [TermChange(label, kind, term, one[term], other[term]) for term in {**one, **other}]
        found = [change for change in found if change.before != change.after]
        changes += sorted(found, key=lambda change: (-abs(change.after - change.before), change.term))[:SHOWN]
    return changes


def _line_changes(before: Path, after: Path, changed: NDArray[np.uint64]) -> list[LineChange]:
    """Return the first changed lines; each corpus is read only as far as needed."""
    wanted: dict[int, Entry] = {}
    for entry in read_corpus(after):
        if len(wanted) >= min(SHOWN, len(changed)):
            break
        key = _key(entry)
        position = int(np.searchsorted(changed, np.uint64(key)))
        if position < len(changed) and changed[position] == key:
            wanted.setdefault(key, entry)
    old: dict[int, Entry] = {}
    for entry in read_corpus(before):
        if len(old) == len(wanted):
            break
        if _key(entry) in wanted:
            old.setdefault(_key(entry), entry)
    return [
        LineChange(entry.image, entry.label, kind, old[key].texts(kind), entry.texts(kind))
        for key, entry in wanted.items()
        for kind in KINDS
        if old[key].texts(kind) != entry.texts(kind)
    ]


def _key(entry: Entry) -> int:
    return _hash(f"{entry.image}\0{entry.label}")


def _hash(text: str) -> int:
    return int(digest_of(text), 16)
