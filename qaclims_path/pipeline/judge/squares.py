"""Training images of a small judge: shrunk once, then cropped, turned and coloured at random."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qaclims_path.data.augmentation import Augmentation, augmentation_for
from qaclims_path.data.decoded import Decoded
from qaclims_path.data.record import Record

SMALLEST_CROP = 0.7  # share of the side of the image
STAIN = 0.25  # largest relative change of the absorbance of a colour channel


class Shrunk:
    """Images as squares from which a window of the judge's size shows at least `SMALLEST_CROP` of each side.

    Args:
        records: Images with their labels.
        classes: Number of classes.
        size: Side of the judge's input in pixels.
    """

    def __init__(self, records: Sequence[Record], classes: int, size: int) -> None:
        self.records, self.classes, self.side = records, classes, math.ceil(size / SMALLEST_CROP)

    def __len__(self) -> int:
        return len(self.records)

    def decoded(self, index: int) -> Decoded:
        """Read one image."""
        record = self.records[index]
        present, known = torch.zeros(self.classes, dtype=torch.bool), torch.ones(self.classes, dtype=torch.bool)
        present[list(record.present or ())], known[list(record.unknown)] = True, False
        return Decoded(record.id, _squared(record.image.pixels(), self.side), present, known=known)


def augmentation_of(size: int, *, tissue: bool) -> Augmentation:
    """Return the random changes of images from `Shrunk`; photographs keep up and down."""
    return augmentation_for(size, tissue=tissue, zoom=(SMALLEST_CROP, 1.0), jitter=STAIN)


def _squared(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    image = torch.from_numpy(picture).permute(2, 0, 1)[None]
    scaled = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy())
