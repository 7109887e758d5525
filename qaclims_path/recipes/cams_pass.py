"""One pass of images through a network at several scales: from pictures to maps that can be stored."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from qaclims_path.compute.cams import image_probabilities, merged, scaled_size
from qaclims_path.data.card import Card
from qaclims_path.data.record import Record, classes_in, truth_of
from qaclims_path.errors import QaclimsError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.maps import ImageMaps
from qaclims_path.models.camnet import CamNet

TILE = 224 * 224  # pixels by which the size of a batch is told
Choose = Callable[[NDArray[np.float64], tuple[int, ...]], Sequence[int]]


@dataclass(frozen=True)
class Loaded:
    """One image, opened and scaled.

    Attributes:
        image: Its name.
        scales: H W 3 pictures, one for each scale.
        size: Height and width at scale 1.
        present: Indices of the classes present, where they are asked for.
    """

    image: str
    scales: tuple[NDArray[np.uint8], ...]
    size: tuple[int, int]
    present: tuple[int, ...]


@dataclass(frozen=True)
class Failed:
    """One image that could not be opened, and why."""

    image: str
    why: str


class Loader:
    """Opens images in threads and scales them as published, with Pillow's bicubic filter on bytes.

    Args:
        card: Of the data set.
        scales: Factors.
        labels: Whether the classes present are needed; in a split with masks only the mask may tell.
    """

    def __init__(self, card: Card, scales: Sequence[float], *, labels: bool) -> None:
        self.card, self.scales, self.labels = card, tuple(scales), labels

    def __call__(self, record: Record) -> Loaded | Failed:
        """Open one image; what is wrong with it is noted, not raised."""
        try:
            picture = record.image.pixels()
            present = self._present(record) if self.labels else ()
        except QaclimsError as error:
            return Failed(record.id, str(error))
        size = picture.shape[:2]
        return Loaded(record.id, tuple(_scaled(picture, scale) for scale in self.scales), size, present)

    def _present(self, record: Record) -> tuple[int, ...]:
        return record.present if record.present is not None else classes_in(self.card, truth_of(self.card, record))


def batches(items: Iterable[Loaded], tiles: int) -> Iterator[list[Loaded]]:
    """Put images of equal size together, in an order that depends on the images only.

    Args:
        items: Of any size.
        tiles: How many images of 224 px make a batch; of larger ones there are fewer.
    """
    waiting: dict[tuple[int, int], list[Loaded]] = {}
    for item in items:
        group = waiting.setdefault(item.size, [])
        group.append(item)
        if (len(group) + 1) * item.size[0] * item.size[1] > tiles * TILE:
            yield waiting.pop(item.size)
    yield from waiting.values()


class MapMaker:
    """Makes the maps of batches.

    Args:
        net: Ready for inference; see `models.inference.ready`.
        choose: From class probabilities (C) and the classes present to those that get a map.
        scales: Factors, as the loader has them.
        own_maximum: Whether maps are divided by their maximum, as published.
    """

    def __init__(self, net: CamNet, choose: Choose, scales: Sequence[float], *, own_maximum: bool) -> None:
        self.net, self.choose, self.own_maximum = net, choose, own_maximum
        self.plain = min(range(len(scales)), key=lambda place: abs(scales[place] - 1))
        self.device = net.head.weight.device

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Loaded]) -> list[ImageMaps]:
        """Maps of images of one size."""
        pyramid = [np.stack(pictures) for pictures in zip(*(item.scales for item in batch), strict=True)]
        logits = [self.net(self._views(pictures)).maps for pictures in pyramid]
        probabilities = image_probabilities(logits[self.plain]).double().cpu().numpy()
        classes = [tuple(self.choose(row, item.present)) for row, item in zip(probabilities, batch, strict=True)]
        owners = torch.tensor([place for place, each in enumerate(classes) for _ in each], device=self.device)
        labels = torch.tensor([label for each in classes for label in each], device=self.device)
        pairs = (owners.long(), labels.long())
        maps = merged(logits, pairs, batch[0].size, own_maximum=self.own_maximum).half().cpu().numpy()
        ends = np.cumsum([len(each) for each in classes])[:-1]
        return [
            ImageMaps(item.image, each, item.size, own, tuple(row.round(6).tolist()))
            for item, each, own, row in zip(batch, classes, np.split(maps, ends), probabilities, strict=True)
        ]

    def _views(self, pictures: NDArray[np.uint8]) -> Tensor:
        """B H W 3 bytes to 2B 3 H W in 0..1, channels last: the images, and the same mirrored."""
        images = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 255
        return torch.cat([images, images.flip(-1)]).contiguous(memory_format=torch.channels_last)


def split_maps(records: Sequence[Record], load: Loader, make: MapMaker, tiles: int) -> Iterator[ImageMaps | Failed]:
    """Maps of images, or why there are none, batch by batch and therefore not in the order of the images.

    Args:
        records: Of the images.
        load: Opens them.
        make: Makes their maps.
        tiles: Size of a batch.
    """
    failed: list[Failed] = []

    def opened() -> Iterator[Loaded]:
        for item in ahead(load, records):
            if isinstance(item, Loaded):
                yield item
            else:
                failed.append(item)

    for batch in batches(opened(), tiles):
        yield from make(batch)
    yield from failed


def _scaled(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return picture
    height, width = scaled_size(picture.shape[0], picture.shape[1], scale)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
