"""Training images for the device: windows of bytes, and the random numbers that they are changed by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qaclims_path.compute.augmentation import changes
from qaclims_path.data.augmentation import BLURRED, NOISY, NUMBERS, Augmentation, cut, cut_planes, draw
from qaclims_path.data.decoded import Decoded, KeptSource, Source
from qaclims_path.files.kept import Kept


@dataclass(frozen=True)
class Window:
    """Window of one image, with the numbers that change it on the device.

    Attributes:
        source: The image; its pixels are cut to the window.
        numbers: Row of numbers for `compute.augmentation`.
    """

    source: Decoded
    numbers: NDArray[np.float32]


class Windows(Dataset[Window]):
    """Windows of images; random numbers come from torch's global state, which the engine sets per image.

    Args:
        source: The images.
        options: The augmentation.
        kept: Where decoded images are kept for later epochs; None decodes them each time.
    """

    def __init__(self, source: Source, options: Augmentation, kept: Kept | None = None) -> None:
        self.source, self.options = source if kept is None else KeptSource(source, kept), options

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Window:
        found = self.source.decoded(index)
        drawn = draw(self.options, np.random.default_rng(int(torch.randint(2**63 - 1, ()))))
        pixels, numbers = cut(self.options, drawn, found.pixels)
        planes = None if found.planes is None else cut_planes(self.options, drawn, found.planes)
        return Window(replace(found, pixels=pixels, planes=planes), numbers)


def collate_windows(windows: Sequence[Window]) -> dict[str, Any]:
    """Stack windows into a batch for `Augment`.

    Returns:
        `id` (list), `image` (B 3 H W bytes, the largest window of the batch, others beside zeros), `numbers` (B N),
        `blurred` and `noisy` (indices of images); where the images have them, `present` and `known` (B C), and `planes`
        (B P S S).
    """
    sources = [window.source for window in windows]
    height, width = (max(source.pixels.shape[axis] for source in sources) for axis in (0, 1))
    images = torch.zeros(len(sources), height, width, 3, dtype=torch.uint8)
    for image, source in zip(images.numpy(), sources, strict=True):
        image[: source.pixels.shape[0], : source.pixels.shape[1]] = source.pixels
    numbers = torch.from_numpy(np.stack([window.numbers for window in windows]))
    drawn = changes(numbers)
    batch: dict[str, Any] = {
        "id": [source.id for source in sources],
        "image": images.permute(0, 3, 1, 2),
        NUMBERS: numbers,
        BLURRED: drawn.sigmas[:, 0].nonzero()[:, 0],
        NOISY: drawn.noise[:, 0].nonzero()[:, 0],
    }
    labels = [(s.present, s.known) for s in sources if s.present is not None and s.known is not None]
    planes = [torch.from_numpy(np.ascontiguousarray(s.planes)) for s in sources if s.planes is not None]
    if labels:
        batch["present"], batch["known"] = (torch.stack(column) for column in zip(*labels, strict=True))
    if planes:
        batch["planes"] = torch.stack(planes)
    return batch
