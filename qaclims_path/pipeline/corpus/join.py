"""Join the parts of the shards into one corpus, in the order of the images, with shared terms."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.language.corpus import Entry, Key, from_line, read_corpus, read_lines, to_line
from qaclims_path.language.counting import Counts, added, count_terms, filled, most_frequent
from qaclims_path.language.questions import KINDS, Kind
from qaclims_path.pipeline.corpus.options import SharingOptions

Share = Callable[[Counts], Callable[[Entry], Entry]]


def sharing(options: SharingOptions, card: Card) -> Share:
    """Make the function that, given the terms of all entries, adds to each entry some of them and of the card."""
    known = {info.name: info.prompts for info in card.classes} if options.card != "none" else {}

    def from_counts(counts: Counts) -> Callable[[Entry], Entry]:
        shared: dict[tuple[str, Kind], list[str]] = {}
        for label in card.names:
            for kind in KINDS:
                shared[label, kind] = [
                    term for term, _ in most_frequent(counts.get((label, kind), Counter()), options.fallback)
                ]

        def share(entry: Entry) -> Entry:
            entry = filled(entry, shared)
            wanted = options.card == "add" or not entry.texts("foreground")
            return (
                added(entry, "foreground", known.get(entry.label, ()), "card") if wanted and not entry.error else entry
            )

        return share

    return from_counts


def join_parts(out: Path, parts: Sequence[Path], groups: Sequence[Sequence[Key]], share: Share) -> None:
    """Write the corpus from its parts, taking a group from each in turn, and remove the parts.

    Args:
        out: The corpus.
        parts: The complete files of the shards.
        groups: Image and class of every line, in the order of the questions.
        share: Adds shared terms to an entry, given the terms of all.
    """
    one = {
        str(sorted(first.provenance.items())) for part in parts for first in [next(read_corpus(part), None)] if first
    }
    if len(one) > 1:
        raise BadFile(f"The parts of {out} were answered by different answerers. Remove them, and build again.")
    fill = share(count_terms(chain.from_iterable(map(read_corpus, parts))))
    streams = [read_lines(part) for part in parts]
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        for number, group in enumerate(track(groups, "joining")):
            turn = number % len(parts)
            for key in group:
                entry = from_line(next(streams[turn], b""), parts[turn])
                if entry.key != key:
                    raise BadFile(f"{parts[turn]} is of other images. Remove it, and build again.")
                file.write(to_line(fill(entry)))
    for part in parts:
        part.unlink()
