"""One torch Dataset for every data set: a card, its records, and one `Sample` per image."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record, load_record
from qaclims_path.errors import UsageError
from qaclims_path.types import Sample

Transform = Callable[[dict[str, Any]], Any]


class SegmentationDataset(Dataset[Sample]):
    """Samples of one split.

    A transform gets and returns a dictionary as MONAI has it: `id`, `image` (3 H W, float32 in 0..1), `present` (C,
    bool) and, where the split shows one, `mask` (1 H W, uint8 label indices). Random MONAI transforms are seeded anew
    for every (epoch, image) from their own random state, so that the order of images and the number of workers change
    nothing; call `set_epoch` before each epoch.

    Attributes:
        card: All facts about the data set.
        records: What was listed, one per image.
    """

    def __init__(
        self, card: Card, records: Sequence[Record], *, transform: Transform | None = None, masks: bool = True
    ) -> None:
        self.card = card
        self.records = list(records)
        self.transform = transform
        self.masks = masks
        own = getattr(transform, "R", None)
        self._seed = None if own is None else int(own.randint(2**31))
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # seen by workers that live on

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.card.names

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of an epoch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        picture, classes, truth = self._opened(record)
        present = torch.zeros(len(self.classes), dtype=torch.bool)
        present[list(classes)] = True
        item: dict[str, Any] = {"id": record.id, "image": to_tensor(picture), "present": present}
        if truth is not None:
            item["mask"] = torch.from_numpy(truth)[None]
        if self.transform is not None:
            item = self._transformed(item, index % len(self.records))
        mask = item.get("mask")
        return Sample(item["id"], item["image"], item["present"], None if mask is None else mask[0])

    def _opened(self, record: Record) -> tuple[NDArray[np.uint8], tuple[int, ...], NDArray[np.uint8] | None]:
        if not self.masks and record.present is not None:
            return record.image.pixels(), record.present, None
        picture, classes, truth = load_record(self.card, record)
        return picture, classes, truth if self.masks else None

    def _transformed(self, item: dict[str, Any], index: int) -> dict[str, Any]:
        if self._seed is not None:
            sequence = np.random.SeedSequence([self._seed, int(self._epoch), index])
            cast("Any", self.transform).set_random_state(seed=int(sequence.generate_state(1)[0]))
        return cast("dict[str, Any]", cast("Transform", self.transform)(item))


def open_dataset(
    name: str | Path | Card,
    root: str | Path,
    split: str,
    *,
    transform: Transform | None = None,
    masks: bool | None = None,
) -> SegmentationDataset:
    """Open one split of a data set, by the name of its card, the path of one, or a card.

    Args:
        name: A registered name, a path to a card, or a card.
        root: The data as its publisher lays it out.
        split: A split on the card.
        transform: MONAI-style transform of dictionaries.
        masks: True demands masks, False leaves them out, None gives them where the split has them.

    Examples:
        >>> dataset = open_dataset("bcss-wsss", "BCSS-WSSS", "val")  # doctest: +SKIP
        >>> dataset[0].present  # doctest: +SKIP
        tensor([ True,  True, False, False])
    """
    card = name if isinstance(name, Card) else load_card(name)
    records = list_records(card, Path(root), split)
    if masks and card.split(split).supervision == "labels":
        raise UsageError(
            f"The split '{split}' of '{card.name}' trains on image labels; its masks are never opened. "
            "Choose another split, or leave `masks` out."
        )
    return SegmentationDataset(card, records, transform=transform, masks=masks is not False)


def to_tensor(picture: NDArray[np.uint8]) -> torch.Tensor:
    """Turn H W 3 bytes into 3 H W float32 in 0..1."""
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack samples of one size for a DataLoader: `id` (list), `image` (B 3 H W), `present` (B C), `mask` (B H W).

    `mask` is only there when every sample has one.
    """
    sizes = {tuple(sample.image.shape) for sample in samples}
    if len(sizes) > 1:
        raise UsageError(
            f"Images of {len(sizes)} sizes cannot form a batch. Crop them with `augmentation(size, seed)`."
        )
    batch: dict[str, Any] = {
        "id": [sample.id for sample in samples],
        "image": torch.stack([sample.image for sample in samples]),
        "present": torch.stack([sample.present for sample in samples]),
    }
    masks = [sample.mask for sample in samples if sample.mask is not None]
    return {**batch, "mask": torch.stack(masks)} if len(masks) == len(samples) else batch
