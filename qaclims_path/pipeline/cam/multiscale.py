"""Make activation maps of images with one pass through a network at several scales."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.cams import at_stride, chosen_maps, image_probabilities, strided_size
from qaclims_path.compute.transfer import fetched, sent
from qaclims_path.data.loading import Failed, ImageLoader, Loaded, batches
from qaclims_path.data.record import Record
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.maps import ImageMaps
from qaclims_path.models.camnet import CamNet

Probabilities = NDArray[np.float64]
Choose = Callable[[Loaded, Callable[[], Probabilities]], Sequence[int]]


class Made(NamedTuple):
    """Maps of images of one size, as a device computes them.

    Attributes:
        batch: The B images.
        classes: Classes of each image that have a map.
        cells: Height and width of the maps at every scale that follow the merged ones; none where they are not kept.
        result: Bytes: B C probabilities in fp64, then maps of all images in fp16.
    """

    batch: Sequence[Loaded]
    classes: Sequence[tuple[int, ...]]
    cells: tuple[tuple[int, int], ...]
    result: Tensor


class MapMaker:
    """Makes the maps of batches.

    Args:
        net: Network, as `models.inference.for_inference` returns it.
        choose: Returns the classes of an image that get a map, from its label; it may ask for the class probabilities
            (C), for which the host waits.
        scales: Factors by which the image loader scales images.
        own_maximum: Divide each map by its maximum, as published.
        keep_scales: Keep the maps of every scale, too.
    """

    def __init__(
        self, net: CamNet, choose: Choose, scales: Sequence[float], *, own_maximum: bool, keep_scales: bool = False
    ) -> None:
        self.net, self.choose, self.own_maximum, self.keep_scales = net, choose, own_maximum, keep_scales
        self.unscaled = min(range(len(scales)), key=lambda index: abs(scales[index] - 1))
        self.device = net.head.weight.device

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Loaded]) -> Made:
        """Make the maps of images of one size, which may still be computed when this returns."""
        pyramid = [np.stack(pictures) for pictures in zip(*(item.scales for item in batch), strict=True)]
        logits = [self.net(self._views(pictures)).maps for pictures in pyramid]
        probabilities = image_probabilities(logits[self.unscaled]).double()
        read = cache(lambda: probabilities.cpu().numpy())
        classes = [tuple(self.choose(item, lambda row=row: read()[row])) for row, item in enumerate(batch)]  # type: ignore[misc]
        pairs = [(row, label) for row, each in enumerate(classes) for label in each]
        owners, labels = sent(np.array(pairs, np.int64).reshape(-1, 2).T, self.device)
        chosen = chosen_maps(logits, (owners, labels), own_maximum=self.own_maximum)
        maps = at_stride(chosen, batch[0].size, own_maximum=self.own_maximum)
        kept = chosen if self.keep_scales else []
        parts = [probabilities, *(each.half() for each in (maps, *kept))]
        cells = tuple((scale.shape[-2], scale.shape[-1]) for scale in kept)
        return Made(batch, classes, cells, torch.cat([part.flatten().view(torch.uint8) for part in parts]))

    def _views(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Turn B H W 3 bytes into 2B 3 H W in 0..1, channels last: the images, then their mirror images."""
        images = sent(pictures, self.device).permute(0, 3, 1, 2).float() / 255
        return torch.cat([images, images.flip(-1)]).contiguous(memory_format=torch.channels_last)


def images_of(
    batch: Sequence[Loaded], classes: Sequence[tuple[int, ...]], cells: Sequence[tuple[int, int]], result: Tensor
) -> Iterator[ImageMaps]:
    """Copy the maps of each image out of a result on the host."""
    values, pairs = result.numpy(), sum(map(len, classes))
    sizes = [strided_size(*batch[0].size), *cells]
    widths = [2 * pairs * math.prod(size) for size in sizes]
    first, *parts = np.split(values, len(values) - np.cumsum(widths[::-1])[::-1])
    probabilities = first.view(np.float64).reshape(len(batch), -1)
    ends = np.cumsum([len(each) for each in classes])[:-1]
    shaped = (part.view(np.float16).reshape(pairs, *size).copy() for part, size in zip(parts, sizes, strict=True))
    of_images = zip(*(np.split(part, ends) for part in shaped), strict=True)
    for item, each, row, (maps, *scales) in zip(batch, classes, probabilities, of_images, strict=True):
        yield ImageMaps(item.image, each, item.size, maps, tuple(row.round(6).tolist()), tuple(scales))


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

    made = map(make, batches(opened(), tiles))
    for about, result in fetched(((each.batch, each.classes, each.cells), each.result) for each in made):
        yield from images_of(*about, result)
    yield from failed
