"""The torch Dataset for all cards: one `Sample` per image record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.decoded import Decoded
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record, load_record
from qaclims_path.errors import UsageError
from qaclims_path.types import Sample

Transform = Callable[[dict[str, Any]], Any]


class SegmentationDataset(Dataset[Sample]):
    """Samples of one split.

    A transform takes and returns a MONAI dictionary: `id`, `image` (3 H W, float32 in 0..1), `present` and
    `known` (C, bool) and, if the split shows masks, `mask` (1 H W, uint8 label indices). Random MONAI transforms are
    seeded for every (epoch, image) pair from their own random state, so that results depend neither on the order of
    images nor on the number of workers. Call `set_epoch` before each epoch.

    Attributes:
        card: Card of the data set.
        records: One record per image.
    """

    def __init__(
        self, card: Card, records: Sequence[Record], *, transform: Transform | None = None, masks: bool = True
    ) -> None:
        self.card = card
        self.records = list(records)
        self.transform = transform
        self.masks = masks
        random_state = getattr(transform, "R", None)
        self._seed = None if random_state is None else int(random_state.randint(2**31))
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # persistent workers see the new epoch

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of label indices."""
        return self.card.names

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that seeds random transforms."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        picture, classes, truth = self._open(record)
        item: dict[str, Any] = {"id": record.id, "image": to_tensor(picture), "present": self._marked(classes)}
        item["known"] = ~self._marked(record.unknown)
        if truth is not None:
            item["mask"] = torch.from_numpy(truth)[None]
        if self.transform is not None:
            item = self._transform(item, index % len(self.records))
        mask = item.get("mask")
        return Sample(item["id"], item["image"], item["present"], None if mask is None else mask[0], item["known"])

    def decoded(self, index: int) -> Decoded:
        """Read one image as it is stored, without the transform; the first plane is the mask."""
        record = self.records[index]
        picture, classes, truth = self._open(record)
        planes = None if truth is None else truth[None]
        return Decoded(record.id, picture, self._marked(classes), planes, ~self._marked(record.unknown))

    def _marked(self, classes: Sequence[int]) -> torch.Tensor:
        marked = torch.zeros(len(self.classes), dtype=torch.bool)
        marked[list(classes)] = True
        return marked

    def _open(self, record: Record) -> tuple[NDArray[np.uint8], tuple[int, ...], NDArray[np.uint8] | None]:
        if not self.masks and record.present is not None:
            return record.image.pixels(), record.present, None
        picture, classes, truth = load_record(self.card, record)
        return picture, classes, truth if self.masks else None

    def _transform(self, item: dict[str, Any], index: int) -> dict[str, Any]:
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
    """Open one split of a data set.

    Args:
        name: Name of a card, path of a card, or a card.
        root: Folder of the data set in its published layout.
        split: Name of a split on the card.
        transform: Transform of MONAI dictionaries.
        masks: True requires masks, False leaves them out, None reads them if the split has them.

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
    """Convert H W 3 bytes to 3 H W float32 in 0..1."""
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack samples of one size for a DataLoader: `id` (list), `image` (B 3 H W), `mask` (B H W), labels.

    Labels are `present` and `known` (B C). The batch has a `mask` only if every sample has one.
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
        "known": torch.stack([sample.known for sample in samples]),
    }
    masks = [sample.mask for sample in samples if sample.mask is not None]
    return {**batch, "mask": torch.stack(masks)} if len(masks) == len(samples) else batch
