"""Pictures of the maps of a few training images, logged after every epoch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qaclims_path.data.dataset import SegmentationDataset
from qaclims_path.engine.task import EpochEnd
from qaclims_path.models.camnet import CamNet
from qaclims_path.report.map_pictures import MapPicture, map_picture
from qaclims_path.types import Sample

GAP = 4
WHITE = 255


class MapPictures:
    """Callback of the engine that draws maps.

    Args:
        data: Training images without augmentation.
        network: The network.
        count: Number of images: of four times as many spread over the data, those with the most classes.
    """

    def __init__(self, data: SegmentationDataset, network: CamNet, count: int = 4) -> None:
        self._card, self._network = data.card, network
        indices = np.linspace(0, len(data) - 1, min(4 * count, len(data))).round().astype(int)
        samples = [data[int(index)] for index in dict.fromkeys(indices.tolist())]
        samples.sort(key=lambda sample: -int(sample.present.sum()))
        self._samples = samples[:count]

    def __call__(self, end: EpochEnd) -> None:
        """Log one sheet, a row per image."""
        if end.processes.is_leader:
            end.picture("maps", _stacked([self._drawn(sample) for sample in self._samples]))

    @torch.no_grad()
    def _drawn(self, sample: Sample) -> NDArray[np.uint8]:
        """Draw the image, and the map of every present class over it."""
        device = next(self._network.parameters()).device
        labels = sample.present.nonzero()[:, 0]
        maps = self._network(sample.image[None].to(device)).maps.float().cpu()
        shown = F.interpolate(maps, sample.image.shape[-2:], mode="bilinear")[0, labels].clamp(min=0)
        shown = shown / shown.amax((-2, -1), keepdim=True).clamp(min=1e-5)
        image = (sample.image * 255).round().byte().permute(1, 2, 0).numpy()
        picture = MapPicture(image, shown.numpy(), labels.tolist())
        return map_picture(picture, [info.title for info in self._card.classes], self._card.palette)


def _stacked(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack pictures vertically on white."""
    width = max(picture.shape[1] for picture in pictures)
    rows = [np.pad(p, ((0, GAP), (0, width - p.shape[1]), (0, 0)), constant_values=WHITE) for p in pictures]
    return np.concatenate(rows)
