"""Tiny made-up data sets in the exact published layout of any card, for tests and for trying things out."""

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import IGNORE, IGNORE_NAME, Card, Split
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.listing import write_split
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import atomic_path

SIDE = 64  # pixels; enough for blobs of several classes, little enough for thousands of tests
CELL = 8  # pixels a blob needs at least
PATIENTS = 3  # per part


def write_fake(card: Card, out: Path, *, seed: int = 0, images: int = 6) -> None:
    """Write every split of a card with a few small images; every class appears in every split.

    Patients of training, validation and test differ. Splits that share their images are written once.

    Example:
        >>> write_fake(load_card("bcss-wsss"), Path("fake-bcss"))  # doctest: +SKIP
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty. Choose a new folder.")
    rng = np.random.default_rng(seed)
    numbers = count()
    with atomic_path(out) as temporary:
        temporary.mkdir()
        for name, split in _places(card).items():
            alone = card.model_copy(update={"splits": {name: split}})
            write_split(alone, temporary, name, _items(card, split, images, numbers, rng))


def _places(card: Card) -> dict[str, Split]:
    """One split for each set of images, with the masks and labels of all the splits that share it."""
    groups: dict[tuple[object, ...], dict[str, Split]] = {}
    for name, split in card.splits.items():
        groups.setdefault((split.part, split.images[0], split.list[:1], split.match), {})[name] = split
    places = {}
    for group in groups.values():
        name, first = next(iter(group.items()))
        update = {
            field: next((value for value in (getattr(split, field) for split in group.values()) if value), ())
            for field in ("masks", "background_masks", "labels")
        }
        told = [split.labels_from for split in group.values() if split.labels_from != "masks"]
        places[name] = first.model_copy(update={**update, "labels_from": told[0] if told else "masks"})
    return places


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
    """Classes of the i-th image: every `images`-th class, and now and then another."""
    total = len(card.classes)
    own = set(range(i % total, total, images)) if images < total else {i % total}
    return sorted(own | set(rng.integers(0, total, size=int(rng.integers(0, 3))).tolist()))


def _labels(card: Card, classes: list[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """H W label indices: one blob per class, each in a cell of its own, on background where the card has it."""
    cells = math.ceil(math.sqrt(len(classes)))
    height, width = (max(side, CELL * cells) for side in _size(card, rng))
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
    """Height and width: a square tile for tissue patches, odd and different ones for everything else."""
    if card.image_size is not None:
        return min(SIDE, card.image_size[1]), min(SIDE, card.image_size[0])
    height, width = rng.integers(SIDE // 4, SIDE // 2, size=2) * 2 + 1
    return int(height), int(width)


def _picture(card: Card, labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    noise = rng.normal(0, 12, (*labels.shape, 1)) + rng.normal(0, 4, (*labels.shape, 3))
    picture: NDArray[np.uint8] = np.clip(card.palette[labels] + noise, 0, 255).astype(np.uint8)
    return picture
