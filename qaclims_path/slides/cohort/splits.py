"""Assign patients (or slides) to training, validation and test: seeded, and never a patient to two splits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import FULL, digest_of
from qaclims_path.slides.cohort.slide_list import SPLITS, SlideEntry


def assign(owners: Iterable[str], shares: Sequence[float], seed: int, known: Mapping[str, str]) -> dict[str, str]:
    """Assign a split to every owner; a known split is kept.

    Owners are ordered by a hash of seed and name, so a new owner does not reshuffle the others. Each goes to an empty
    split while there is one, else to the split that is furthest below its share.

    Args:
        owners: Patients or slides.
        shares: Shares of training, validation and test.
        seed: Seed of the order.
        known: Splits that are fixed, by owner.

    Examples:
        >>> sorted(assign(["a", "b", "c"], (0.7, 0.15, 0.15), 0, {}).values())
        ['test', 'train', 'val']
    """
    wanted = {split: share for split, share in zip(SPLITS, shares, strict=True) if share > 0}
    assigned = {owner: known[owner] for owner in owners if owner in known}
    counts = Counter(assigned.values())
    new = sorted(set(owners) - set(assigned), key=lambda owner: digest_of(f"{seed}/{owner}", digits=FULL))
    total = len(new) + len(assigned)
    for owner in new:
        empty = next((split for split in wanted if not counts[split]), None)
        assigned[owner] = empty or max(wanted, key=lambda split: wanted[split] * total - counts[split])
        counts[assigned[owner]] += 1
    return assigned


def with_splits(
    entries: Sequence[SlideEntry],
    *,
    by: Literal["patient", "slide"],
    shares: Sequence[float],
    seed: int,
    earlier: Mapping[str, str],
) -> tuple[SlideEntry, ...]:
    """Give each slide its split: that of the list, else that of an earlier run, else a seeded one.

    Args:
        entries: All slides of the list, whatever the shard.
        by: Assign whole patients, or single slides.
        shares: Shares of training, validation and test.
        seed: Seed of the assignment.
        earlier: Splits of an earlier run, by slide name.
    """
    owner = {entry.name: entry.patient if by == "patient" else entry.name for entry in entries}
    known: dict[str, str] = {}
    for entry in sorted(entries, key=lambda entry: not entry.split):
        split = entry.split or earlier.get(entry.name, "")
        if by == "patient" and split and entry.split and known.get(entry.patient, split) != split:
            raise BadFile(
                f"The patient '{entry.patient}' is listed in '{known[entry.patient]}' and in '{split}', so scores "
                "would be too high. Put all slides of a patient into one split."
            )
        if split:
            known.setdefault(owner[entry.name], split)
    assigned = assign(owner.values(), shares, seed, known)
    return tuple(replace(entry, split=assigned[owner[entry.name]]) for entry in entries)
