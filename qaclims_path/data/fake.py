"""Write tiny fake data sets in the exact published layout of any card, for tests and first trials."""

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import IGNORE, IGNORE_NAME, Card
from qaclims_path.data.card_parts import Split
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.listing import write_split
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import atomic_path

SIDE = 64  # pixels; fits blobs of several classes, and is fast enough for thousands of tests
MIN_CELL = 8  # pixels per blob
PATIENTS = 3  # per part


def write_fake(card: Card, out: Path, *, seed: int = 0, images: int = 6) -> None:
    """Write a few small images for every split of a card; every class appears in every split.

    Training, validation and test have different patients. Splits that share their images are written once.

    Examples:
        >>> write_fake(load_card("bcss-wsss"), Path("fake-bcss"))  # doctest: +SKIP
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty. Choose a new folder.")
    rng = np.random.default_rng(seed)
    numbers = count()
    with atomic_path(out) as temporary:
        temporary.mkdir()
        for name, split in _merged_splits(card).items():
            single = card.model_copy(update={"splits": {name: split}})
            write_split(single, temporary, name, _items(card, split, images, numbers, rng))


def _merged_splits(card: Card) -> dict[str, Split]:
    """Merge splits that share their images into one, with the masks and labels of all of them."""
    groups: dict[tuple[object, ...], dict[str, Split]] = {}
    for name, split in card.splits.items():
        groups.setdefault((split.part, split.images[0], split.list[:1], split.match), {})[name] = split
    merged = {}
    for group in groups.values():
        name, first = next(iter(group.items()))
        update = {
            field: next((value for value in (getattr(split, field) for split in group.values()) if value), ())
            for field in ("masks", "background_masks", "labels")
        }
        label_sources = [split.labels_from for split in group.values() if split.labels_from != "masks"]
        merged[name] = first.model_copy(update={**update, "labels_from": next(iter(label_sources), "masks")})
    return merged


def _items(
    card: Card, split: Split, images: int, numbers: Iterator[int], rng: np.random.Generator
) -> Iterator[FakeItem]:
    first = PATIENTS * ("train", "val", "test").index(split.part)
    for i in range(images):
        number = next(numbers)
        labels = _labels(card, _classes(card, i, images, rng), rng)
        yield FakeItem(
            image=_picture(card, labels, rng),
            labels=labels,
            patient=f"{first + i % PATIENTS + 1:04d}",
            x=SIDE * (number % 10),
            y=SIDE * (number // 10),
        )


def _classes(card: Card, i: int, images: int, rng: np.random.Generator) -> list[int]:
    """Return classes of the i-th image: every `images`-th class, and up to two random ones."""
    total = len(card.classes)
    fixed = set(range(i % total, total, images)) if images < total else {i % total}
    return sorted(fixed | set(rng.integers(0, total, size=int(rng.integers(0, 3))).tolist()))


def _labels(card: Card, classes: list[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw H W label indices: one blob per class, each in its own cell, on background if the card has it."""
    cells = math.ceil(math.sqrt(len(classes)))
    height, width = (max(side, MIN_CELL * cells) for side in _size(card, rng))
    base = card.background_index if card.background is not None else classes[0]
    labels = np.full((height, width), base, np.uint8)
    y, x = np.mgrid[:height, :width]
    for k, cell in zip(classes, rng.permutation(cells * cells), strict=False):
        radius_y, radius_x = (side / cells * rng.uniform(0.3, 0.48) for side in (height, width))
        center_y, center_x = (cell // cells + 0.5) * height / cells, (cell % cells + 0.5) * width / cells
        labels[((y - center_y) / radius_y) ** 2 + ((x - center_x) / radius_x) ** 2 <= 1] = k
    if IGNORE_NAME in card.codes.values():
        labels[-1:, :] = IGNORE
    return labels


def _size(card: Card, rng: np.random.Generator) -> tuple[int, int]:
    """Return the height and width: those of the card if it has them (at most `SIDE`), else random odd numbers."""
    if card.image_size is not None:
        return min(SIDE, card.image_size[1]), min(SIDE, card.image_size[0])
    height, width = rng.integers(SIDE // 4, SIDE // 2, size=2) * 2 + 1
    return int(height), int(width)


def _picture(card: Card, labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    noise = rng.normal(0, 12, (*labels.shape, 1)) + rng.normal(0, 4, (*labels.shape, 3))
    picture: NDArray[np.uint8] = np.clip(card.palette[labels] + noise, 0, 255).astype(np.uint8)
    return picture
