"""Make activation maps of images with one pass through a network at several scales."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.cams import image_probabilities, merged
from qaclims_path.compute.transfer import sent
from qaclims_path.data.loading import Failed, ImageLoader, Loaded, batches
from qaclims_path.data.record import Record
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.maps import ImageMaps
from qaclims_path.models.camnet import CamNet

Choose = Callable[[NDArray[np.float64], Loaded], Sequence[int]]


class MapMaker:
    """Makes the maps of batches.

    Args:
        net: Network, as `models.inference.for_inference` returns it.
        choose: Returns the classes that get a map, from class probabilities (C) and the image with its label.
        scales: Factors by which the image loader scales images.
        own_maximum: Divide each map by its maximum, as published.
    """

    def __init__(self, net: CamNet, choose: Choose, scales: Sequence[float], *, own_maximum: bool) -> None:
        self.net, self.choose, self.own_maximum = net, choose, own_maximum
        self.unscaled = min(range(len(scales)), key=lambda index: abs(scales[index] - 1))
        self.device = net.head.weight.device

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Loaded]) -> list[ImageMaps]:
        """Make the maps of images of one size."""
        pyramid = [np.stack(pictures) for pictures in zip(*(item.scales for item in batch), strict=True)]
        logits = [self.net(self._views(pictures)).maps for pictures in pyramid]
        probabilities = image_probabilities(logits[self.unscaled]).double().cpu().numpy()
        classes = [tuple(self.choose(row, item)) for row, item in zip(probabilities, batch, strict=True)]
        owners = torch.tensor([row for row, each in enumerate(classes) for _ in each], device=self.device)
        labels = torch.tensor([label for each in classes for label in each], device=self.device)
        pairs = (owners.long(), labels.long())
        maps = merged(logits, pairs, batch[0].size, own_maximum=self.own_maximum).half().cpu().numpy()
        ends = np.cumsum([len(each) for each in classes])[:-1]
        return [
            ImageMaps(item.image, each, item.size, own_maps, tuple(row.round(6).tolist()))
            for item, each, own_maps, row in zip(batch, classes, np.split(maps, ends), probabilities, strict=True)
        ]

    def _views(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Turn B H W 3 bytes into 2B 3 H W in 0..1, channels last: the images, then their mirror images."""
        images = sent(pictures, self.device).permute(0, 3, 1, 2).float() / 255
        return torch.cat([images, images.flip(-1)]).contiguous(memory_format=torch.channels_last)


def split_maps(
    records: Sequence[Record], load: ImageLoader, make: MapMaker, tiles: int
) -> Iterator[ImageMaps | Failed]:
    """Make maps batch by batch, so not in the order of the images; images that cannot be opened come last.

    Args:
        records: Images.
        load: Opens an image at all scales.
        make: Makes the maps of a batch.
        tiles: Images of 224 px in a batch; fewer if they are larger.
    """
    failed: list[Failed] = []

    def opened() -> Iterator[Loaded]:
        for item in ahead(load, records, threads_beside(make.device.type)):
            if isinstance(item, Loaded):
                yield item
            else:
                failed.append(item)

    for batch in batches(opened(), tiles):
        yield from make(batch)
    yield from failed
