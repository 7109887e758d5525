"""Dealing patients (or slides) out to training, validation and test: seeded, and never one patient to two."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import FULL, digest_of
from qaclims_path.slides.cohort.slide_list import SPLITS, SlideEntry


def allot(owners: Iterable[str], shares: Sequence[float], seed: int, known: Mapping[str, str]) -> dict[str, str]:
    """Give every owner a split; those with a known one keep it.

    The order is that of a hash of seed and name, so a new owner does not reshuffle the others. Each goes to an empty
    split while there is one, else to the one that is furthest below its share.

    Args:
        owners: Patients or slides.
        shares: Of training, validation and test.
        seed: Of the order.
        known: Splits that are fixed already.

    Example:
        >>> sorted(allot(["a", "b", "c"], (0.7, 0.15, 0.15), 0, {}).values())
        ['test', 'train', 'val']
    """
    wanted = {split: share for split, share in zip(SPLITS, shares, strict=True) if share > 0}
    given = {owner: known[owner] for owner in owners if owner in known}
    counts = Counter(given.values())
    fresh = sorted(set(owners) - set(given), key=lambda owner: digest_of(f"{seed}/{owner}", digits=FULL))
    total = len(fresh) + len(given)
    for owner in fresh:
        empty = next((split for split in wanted if not counts[split]), None)
        given[owner] = empty or max(wanted, key=lambda split: wanted[split] * total - counts[split])
        counts[given[owner]] += 1
    return given


def with_splits(
    entries: Sequence[SlideEntry],
    *,
    by: Literal["patient", "slide"],
    shares: Sequence[float],
    seed: int,
    earlier: Mapping[str, str],
) -> tuple[SlideEntry, ...]:
    """The slides, each with its split: that of the list, else that of an earlier run, else a seeded one.

    Args:
        entries: All slides of the list, whichever part of them is worked on.
        by: Whether a patient's slides stay together, or each slide goes its own way.
        shares: Of training, validation and test.
        seed: Of the choice.
        earlier: Splits of an earlier run by name of the slide.
    """
    owner = {entry.name: entry.patient if by == "patient" else entry.name for entry in entries}
    known: dict[str, str] = {}
    for entry in sorted(entries, key=lambda entry: not entry.split):
        split = entry.split or earlier.get(entry.name, "")
        if by == "patient" and split and entry.split and known.get(entry.patient, split) != split:
            raise BadFile(
                f"The patient '{entry.patient}' is listed in '{known[entry.patient]}' and in '{split}'. Scores would "
                "be too good: leave all slides of a patient in one split."
            )
        if split:
            known.setdefault(owner[entry.name], split)
    dealt = allot(owner.values(), shares, seed, known)
    return tuple(replace(entry, split=dealt[owner[entry.name]]) for entry in entries)
