"""Checks before anyone trains: labels that teach nothing, patients, balance, and sizes that a judge does not know.

Each finding is a sentence with its number and the way out. Nothing is opened: records and the card say all of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qaclims_path.data.card import Card
from qaclims_path.data.record import Record
from qaclims_path.errors import first_of

Splits = Mapping[str, Sequence[Record]]
SHOWN = 5
UNBALANCED = 20  # images of the most frequent class per image of the rarest
FAR = 2.0  # factor between sizes or pixel sizes
TISSUE_MPP = (0.2, 3.0)  # micrometres per pixel of what judges of tissue learnt from, 40x to 4x


@dataclass(frozen=True)
class Sight:
    """Side of a judge's input in pixels, and the pixel size that it learnt from, if known."""

    side: int = 224
    mpp: float | None = None


def before_training(card: Card, splits: Splits, sight: Sight | None = None, *, shared: bool = True) -> list[str]:
    """Return what a person should know before training on these images; empty where nothing is remarkable.

    Args:
        card: Facts about the data set.
        splits: Records by split.
        sight: What the judge sees; None without one.
        shared: Mention patients in two parts; `in_two_parts` has the details.
    """
    return [
        *(_two_parts(card, splits) if shared else ()),
        *_nothing_to_do(card, splits),
        *_of_training(card, _training(card, splits)),
        *(_size(card, sight) if sight else ()),
    ]


def in_two_parts(card: Card, splits: Splits) -> dict[str, dict[str, Record]]:
    """Find the patients (images, where patients are not known) in two of training, validation and test.

    Returns:
        By title of the patient or image: the first record in each part.
    """
    found: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for name, records in splits.items():
        for record in records:
            title = f"The patient '{record.patient}'" if record.patient else f"The image {record.image.name}"
            owner = title, "" if record.patient else str(record.image)
            found[owner].setdefault(card.split(name).part, record)
    return {title: parts for (title, _), parts in found.items() if len(parts) > 1}


def _two_parts(card: Card, splits: Splits) -> Iterator[str]:
    shared = [title.removeprefix("The ") for title in in_two_parts(card, splits)]
    if shared:
        yield (
            f"{len(shared)} of the patients or images are in two of training, validation and test "
            f"({first_of(shared, SHOWN)}), so scores would be too high. Keep all images of a patient in one of them."
        )


def _nothing_to_do(card: Card, splits: Splits) -> Iterator[str]:
    """Say when there is nothing to train on, or nothing to score."""
    parts = {card.split(name).part for name, records in splits.items() if records}
    images = sum(len(records) for records in splits.values())
    if parts == {"train"}:
        yield (
            f"All {images} images are for training, so no result can be scored. Add slides or images of other "
            "patients for validation."
        )
    elif parts and "train" not in parts:
        yield f"None of the {images} images is for training. Add slides or images, or give some the split 'train'."
    elif parts and not any(records and card.split(name).supervision == "masks" for name, records in splits.items()):
        yield (
            "No image for validation or test has a mask, so no result can be scored. Annotate regions of their slides, "
            "and tile with --masks."
        )


def _training(card: Card, splits: Splits) -> list[Record]:
    """Return the labelled records of the largest training split."""
    training = [records for name, records in splits.items() if card.split(name).part == "train"]
    largest = max(training, key=len, default=())
    return [record for record in largest if record.present is not None]


def _of_training(card: Card, records: Sequence[Record]) -> Iterator[str]:
    if not records:
        return
    vectors = {(record.present, record.unknown) for record in records}
    if len(vectors) == 1 and len(records) > 1:
        yield (
            f"There is one label vector for all {len(records)} training images ({_named(card, records[0].present)}), "
            "so nothing tells these classes apart. Add images with other classes, or annotate regions."
        )
    else:
        yield from _whole_slides(records)
        yield from _one_sided(card, records)
        yield from _balance(card, records)
    yield from _one_patient(records)


def _whole_slides(records: Sequence[Record]) -> Iterator[str]:
    """Say when all tiles of each slide have the same labels, which is what labels of whole slides look like."""
    tiles: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.slide:
            tiles[record.slide].append(record)
    several = [each for each in tiles.values() if len(each) > 1]
    if several and all(len({(record.present, record.unknown) for record in each}) == 1 for each in several):
        yield (
            f"Every tile has the labels of its whole slide: {len(tiles)} label vectors for {len(records)} training "
            "tiles, so tiles are taught classes that they need not show. Annotate regions, or train plain maps with "
            "cam.labels.of=slide, which learn from all tiles of a slide together."
        )


def _one_sided(card: Card, records: Sequence[Record]) -> Iterator[str]:
    """Name the classes without a positive or without a negative image."""
    positive, unknown = _positives(card, records), Counter(index for record in records for index in record.unknown)
    never = [name for name, count in positive.items() if count == 0]
    without = {name: len(records) - positive[name] - unknown[index] for index, name in enumerate(card.names)}
    always = [name for name, count in without.items() if count == 0 and name not in never]
    if never:
        yield (
            f"None of the {len(records)} training images is known to show {_joined(never)}, so nothing is learnt about "
            "it. Add images that show it, or take it off the card."
        )
    if always:
        yield (
            f"None of the {len(records)} training images is known to be without {_joined(always)}, so nothing says "
            "where it is not. Add images without it, draw other classes on whole tiles, or cut smaller tiles."
        )


def _balance(card: Card, records: Sequence[Record]) -> Iterator[str]:
    counts = Counter({name: count for name, count in _positives(card, records).items() if count})
    if len(counts) < 2:
        return
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= UNBALANCED * few:
        yield (
            f"'{most}' is in {many} of {len(records)} training images, '{least}' in {few}, {many // few} times fewer. "
            f"Expect poor maps of '{least}', or add images that show it."
        )


def _one_patient(records: Sequence[Record]) -> Iterator[str]:
    patients = {record.patient for record in records}
    if len(patients) == 1 and None not in patients:
        yield (
            f"All {len(records)} training images are of one patient ('{records[0].patient}'), whose stain and tissue "
            "are learnt with the classes. Add images of other patients."
        )


def _size(card: Card, sight: Sight) -> Iterator[str]:
    """Compare size and pixel size of tiles with those of the judge, which sees each tile shrunk to its input."""
    if card.domain == "natural" or card.image_size is None:
        return
    side = max(card.image_size)
    shrunk = side / sight.side
    shown = f"Tiles of {side} px are shown to the judge as {sight.side} px"
    if card.mpp is None and not 1 / FAR <= shrunk <= FAR:
        yield f"{shown}, a factor of {shrunk:.2g}, so detail is lost or blurred. Cut tiles of {sight.side} px."
    elif card.mpp is not None:
        least, most = TISSUE_MPP if sight.mpp is None else (sight.mpp / FAR, sight.mpp * FAR)
        if not least <= card.mpp * shrunk <= most:
            learnt = f"{least:g} to {most:g}" if sight.mpp is None else f"{sight.mpp:g}"
            yield (
                f"{shown}, at {card.mpp * shrunk:.3g} um per pixel, but it learnt from {learnt} um per pixel. Cut "
                f"other tiles{', or set judge.scale=own' if sight.mpp else ''}."
            )


def _positives(card: Card, records: Sequence[Record]) -> dict[str, int]:
    """Count the images that show each class."""
    counts = Counter(index for record in records for index in record.present or ())
    return {name: counts[index] for index, name in enumerate(card.names)}


def _named(card: Card, present: Sequence[int] | None) -> str:
    return ", ".join(card.names[index] for index in present or ()) or "no class"


def _joined(names: Sequence[str]) -> str:
    return first_of([f"'{name}'" for name in names], SHOWN)
