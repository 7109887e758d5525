"""Check of a data set: list the folder, open all images, and report all problems at once. Nothing is written."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.data.before_training import Sight, before_training, in_two_parts
from qaclims_path.data.card import Card
from qaclims_path.data.cards import suggest_own
from qaclims_path.data.formats.folder import read_table
from qaclims_path.data.record import MaskFile, Record
from qaclims_path.errors import DatasetProblem, QaclimsError, first_of
from qaclims_path.files.folders import first_existing, list_files, stem_key
from qaclims_path.files.progress import track
from qaclims_path.pipeline.datasets.check_split import Listing, examine, list_tolerantly
from qaclims_path.report.numbers import spaced

SHOWN = 10
KINDS = {
    "missing": "What is missing or cannot be listed",
    "count": "Counts that differ from the card",
    "labels": "Image-level labels that cannot be used",
    "masks": "Images without a mask",
    "extra": "Masks without an image",
    "patient": "Patients and images in two parts",
    "unreadable": "Files that cannot be read",
    "size": "Images and masks that differ in size",
    "code": "Mask codes that are not on the card",
    "contradiction": "Labels that contradict masks",
}


@dataclass(frozen=True)
class ProblemGroup:
    """Number of problems of one kind, and the first ten as sentences; one sentence may be about several images."""

    kind: str
    title: str
    count: int
    first: tuple[str, ...]
    more: bool = False


@dataclass(frozen=True)
class SplitCheck:
    """A split compared with the card.

    Attributes:
        state: `complete`, `partial`, `absent`, `too many`, `found` where the card gives no count, or `unlisted` where a
            problem prevents listing any image.
        summary: The state in words, for example 'partial: 250 of 10 582'.
    """

    name: str
    part: str
    state: str
    images: int
    expected: int | None
    summary: str


@dataclass(frozen=True)
class CheckReport:
    """Result of a check: whether a folder is the data set of a card, all problems, and warnings before a training."""

    dataset: str
    root: str
    passed: bool
    quick: bool
    opened: int
    splits: tuple[SplitCheck, ...]
    problems: tuple[ProblemGroup, ...]
    warnings: tuple[str, ...] = ()


class Findings:
    """Counts problems by kind and keeps the first few sentences of each."""

    def __init__(self) -> None:
        self._first: dict[str, list[str]] = defaultdict(list)
        self._count: dict[str, int] = defaultdict(int)
        self._cut: set[str] = set()

    def add(self, kind: str, sentence: str) -> None:
        """Note a problem; a sentence that begins with a number of images counts as that many problems."""
        several = re.match(r"(\d+) images? ", sentence)
        self._count[kind] += int(several[1]) if several else 1
        if len(self._first[kind]) < SHOWN:
            self._first[kind].append(sentence)
        else:
            self._cut.add(kind)

    def groups(self) -> tuple[ProblemGroup, ...]:
        """Return the problems by kind, in the order of `KINDS`."""
        return tuple(
            ProblemGroup(kind, title, self._count[kind], tuple(self._first[kind]), kind in self._cut)
            for kind, title in KINDS.items()
            if self._count[kind]
        )


def check(card: Card, root: Path, *, complete: bool = False, quick: bool = False) -> CheckReport:
    """Compare a folder with the card of a data set.

    Args:
        card: Facts about the data set.
        root: Folder of the data in the publisher's layout.
        complete: Count a smaller copy or an absent split as a problem.
        quick: List and read headers only, instead of opening every image.

    Examples:
        >>> check(load_card("voc2012"), Path("VOC2012")).passed  # doctest: +SKIP
        True
    """
    if not root.is_dir():
        raise DatasetProblem(f"{root} is not a folder. Give the folder of '{card.name}' as its publisher lays it out.")
    listings = {name: list_tolerantly(card, root, name) for name in card.splits}
    found = Findings()
    for kind, sentence in _of_listings(card, root, listings, complete=complete):
        found.add(kind, sentence)
    records = _to_open(listings)
    for findings in track(examine(card, records, quick=quick), f"checking {card.name}", total=len(records)):
        for kind, sentence in findings:
            found.add(kind, sentence)
    splits = tuple(_against_card(card, name, listing) for name, listing in listings.items())
    problems = found.groups()
    warnings = tuple(before_training(card, _records(listings), Sight(), shared=False))
    return CheckReport(card.name, str(root), not problems, quick, len(records), splits, problems, warnings)


def _all(listings: dict[str, Listing]) -> Iterator[Record]:
    for listing in listings.values():
        yield from listing.records


def _records(listings: dict[str, Listing]) -> dict[str, tuple[Record, ...]]:
    return {name: listing.records for name, listing in listings.items()}


def _to_open(listings: dict[str, Listing]) -> list[Record]:
    """List every image once per mask; splits may share images."""
    masked = {(record.image, str(record.mask)): record for record in _all(listings) if record.mask is not None}
    seen = {image for image, _ in masked}
    plain = {record.image: record for record in _all(listings) if record.image not in seen}
    return [*plain.values(), *masked.values()]


def _of_listings(card: Card, root: Path, listings: dict[str, Listing], *, complete: bool) -> Iterator[tuple[str, str]]:
    for listing in listings.values():
        yield from listing.problems
    if all(listing.absent for listing in listings.values()):
        looked = "; ".join(f"{name}: {listing.absent}" for name, listing in listings.items())
        way_out = suggest_own(card, root, "Check the folder given as root.")
        yield "missing", f"{root} holds no split of '{card.name}' ({looked}). {way_out}"
    for name, listing in listings.items():
        found = _against_card(card, name, listing)
        if found.state == "too many":
            yield "count", f"The split '{name}' has {found.summary}. Remove files that do not belong to it."
        elif complete and found.state in ("partial", "absent"):
            yield "count", f"The split '{name}' is {found.summary}. Fetch the rest, or check without --complete."
    yield from (("missing", sentence) for sentence in _rows_without_image(card, root, listings))
    yield from (("patient", sentence) for sentence in _in_two_parts(card, listings))
    yield from (("extra", sentence) for sentence in _extra_masks(card, root, listings))


def _against_card(card: Card, name: str, listing: Listing) -> SplitCheck:
    split, images = card.split(name), len(listing.records)
    if listing.absent:
        state, summary = "absent", f"absent ({listing.absent})"
    elif not images:
        state, summary = "unlisted", "no image could be listed"
    elif split.count is None:
        state, summary = "found", f"{spaced(images)} images"
    elif images == split.count:
        state, summary = "complete", f"complete: {spaced(images)}"
    elif images < split.count:
        state, summary = "partial", f"partial: {spaced(images)} of {spaced(split.count)}"
    else:
        state, summary = "too many", f"{spaced(images)} images, but {spaced(split.count)} were published"
    return SplitCheck(name, split.part, state, images, split.count, summary)


def _rows_without_image(card: Card, root: Path, listings: dict[str, Listing]) -> Iterator[str]:
    """Rows of label tables without an image, for splits without a published count, which would show a missing image."""
    known = {stem_key(record.image.name) for record in _all(listings)}
    tables = (
        first_existing(root, card.split(name).labels)
        for name, listing in listings.items()
        if listing.records and card.split(name).labels_from == "table" and card.split(name).count is None
    )
    for path in dict.fromkeys(table for table in tables if table is not None and table.suffix == ".csv"):
        try:
            gone = [key for key in read_table(card, path).labels if key not in known]
        except QaclimsError:  # the listing has reported it
            continue
        if gone:
            yield (
                f"{len(gone)} image{'s' * (len(gone) > 1)} of {path} cannot be found: {first_of(gone, SHOWN)}. "
                "Fetch the rest, or remove the rows."
            )


def _in_two_parts(card: Card, listings: dict[str, Listing]) -> Iterator[str]:
    for owner, parts in in_two_parts(card, _records(listings)).items():
        where = " and in ".join(f"{part} ({record.image})" for part, record in parts.items())
        yield f"{owner} is in {where}. Scores would be too good: leave it in one part only."


def _extra_masks(card: Card, root: Path, listings: dict[str, Listing]) -> Iterator[str]:
    """Yield files without an image in the mask folder of a split; folders that splits share are skipped."""
    used = {record.mask.path for record in _all(listings) if isinstance(record.mask, MaskFile)}
    folders = {name: _masks_folder(card, root, name) for name in listings}
    for name, folder in folders.items():
        split = card.split(name)
        own = split.supervision == "masks" and not split.list and not split.match
        if folder is None or not own or not listings[name].records or list(folders.values()).count(folder) > 1:
            continue
        for mask in list_files(folder):
            if folder / mask not in used and not (folder / mask).is_dir():
                yield f"{folder / mask} is a mask without an image. Fetch the image, or remove the mask."


def _masks_folder(card: Card, root: Path, name: str) -> Path | None:
    try:
        return first_existing(root, card.split(name).masks)
    except QaclimsError:  # the listing has reported it
        return None
