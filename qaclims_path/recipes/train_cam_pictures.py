"""What the maps look like after every epoch: a few training images, and every class that is in them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qaclims_path.data.card import Card
from qaclims_path.data.dataset import SegmentationDataset
from qaclims_path.engine.task import EpochEnd
from qaclims_path.models.camnet import CamNet

SIDE = 160  # pixels of one picture
GAP = 4
COVER = 0.65
PAPER = 255


class MapPictures:
    """A callback of the engine that draws maps.

    Args:
        data: The images, not augmented.
        network: Draws them.
        count: Images, spread over the data, those with the most classes first.
    """

    def __init__(self, data: SegmentationDataset, network: CamNet, count: int = 4) -> None:
        self._card, self._network = data.card, network
        places = np.linspace(0, len(data) - 1, min(4 * count, len(data))).round().astype(int)
        samples = [data[int(place)] for place in dict.fromkeys(places.tolist())]
        samples.sort(key=lambda sample: -int(sample.present.sum()))
        self._samples = samples[:count]

    def __call__(self, end: EpochEnd) -> None:
        """Log one sheet: a row per image, first the image, then one overlay per class present."""
        if end.team.leads:
            end.picture("maps", self.sheet())

    @torch.no_grad()
    def sheet(self) -> NDArray[np.uint8]:
        """H W 3, in the colours of the card."""
        device = next(self._network.parameters()).device
        rows = []
        for sample in self._samples:
            image = F.interpolate(sample.image[None], (SIDE, SIDE), mode="area")[0]
            maps = self._network(sample.image[None].to(device)).maps.float().cpu()
            shown = F.interpolate(maps, (SIDE, SIDE), mode="bilinear")[0].clamp(min=0)
            labels = sample.present.nonzero()[:, 0].tolist()
            rows.append([image.numpy(), *(_over(image, shown[label], self._card, label) for label in labels)])
        return _grid(rows)


def _over(image: torch.Tensor, heat: torch.Tensor, card: Card, label: int) -> NDArray[np.float32]:
    """The colour of a class over a picture, as strong as its map is there."""
    color = torch.tensor(card.classes[label].color)[:, None, None] / 255
    return torch.lerp(image, color, COVER * heat / heat.max().clamp(min=1e-5)).numpy()


def _grid(rows: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.uint8]:
    """Pictures 3 S S in rows of different lengths, on white paper."""
    columns = max((len(row) for row in rows), default=1)
    cell = SIDE + GAP
    sheet = np.full((cell * max(len(rows), 1) - GAP, cell * columns - GAP, 3), PAPER, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            pixels = (picture.transpose(1, 2, 0) * 255).round().astype(np.uint8)
            sheet[cell * y : cell * y + SIDE, cell * x : cell * x + SIDE] = pixels
    return sheet
