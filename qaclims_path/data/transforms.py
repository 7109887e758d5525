"""MONAI dictionary transforms: load images and masks with our readers, and augment them together.

For one's own pipelines on MONAI. The trainings of the package augment whole batches, see `data.augmentation`.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import RandSpatialCropd, SpatialPadd
from monai.transforms.spatial.dictionary import RandFlipd, RandRotate90d, RandZoomd
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.transforms.utility.dictionary import EnsureTyped

from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.dataset import to_tensor
from qaclims_path.files.images import read_image, read_mask

Item = Mapping[Hashable, Any]


class LoadPictured(MapTransform):
    """Load pictures from paths as 3 H W float32 in 0..1.

    Examples:
        >>> Compose([LoadPictured("image")])({"image": "a.png"})["image"].shape  # doctest: +SKIP
        torch.Size([3, 224, 224])
    """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Replace the path at every key by the picture."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = to_tensor(read_image(Path(item[key])))
        return item


class LoadMaskd(MapTransform):
    """Load masks from paths as 1 H W uint8 label indices; a code that the card lacks is an error."""

    def __init__(self, keys: KeysCollection, card: Card, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.card = card

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Replace the path at every key by the label indices."""
        item = dict(data)
        for key in self.key_iterator(item):
            path = Path(item[key])
            item[key] = torch.from_numpy(self.card.decode(read_mask(path), path))[None]
        return item


class RandColord(RandomizableTransform, MapTransform):
    """Change strength and brightness of each colour channel of a 3 H W picture in 0..1.

    Each channel is raised to a power near one. That scales absorbance, as different stains do, and keeps white white.
    """

    def __init__(self, keys: KeysCollection, strength: float, *, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self)
        self.strength = strength

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Draw three powers and apply them to every key."""
        item = dict(data)
        powers = torch.tensor(self.R.uniform(1 - self.strength, 1 + self.strength, 3), dtype=torch.float32)
        for key in self.key_iterator(item):
            item[key] = item[key].clamp(0, 1) ** powers[:, None, None]
        return item


def augmentation(
    size: int | tuple[int, int],
    seed: int,
    *,
    rotate: bool = True,
    zoom: tuple[float, float] = (0.8, 1.25),
    jitter: float = 0.0,
    fill: float = 0.0,
) -> Compose:
    """Flip, rotate by right angles, zoom, crop and change colours; a mask, if present, moves with the image.

    Args:
        size: Height and width of the result, or one number for both. Smaller images are padded, masks with 255.
        seed: Equal seeds give equal results.
        rotate: Whether to rotate by 90 degrees and flip vertically: for tissue, not for photographs.
        zoom: Smallest and largest factor.
        jitter: Strength of the colour change, 0 to below 1.
        fill: Value of padded image pixels.
    """
    side = (size, size) if isinstance(size, int) else size
    both: dict[str, Any] = {"keys": ("image", "mask"), "allow_missing_keys": True}
    steps: list[MapTransform] = [RandFlipd(**both, prob=0.5, spatial_axis=1)]
    if rotate:
        steps += [RandFlipd(**both, prob=0.5, spatial_axis=0), RandRotate90d(**both, prob=0.75)]
    if zoom != (1, 1):
        steps.append(
            RandZoomd(
                **both, prob=1, min_zoom=zoom[0], max_zoom=zoom[1], mode=("bilinear", "nearest-exact"), keep_size=False
            )
        )
    steps += [
        SpatialPadd("image", side, allow_missing_keys=True, value=fill),
        SpatialPadd("mask", side, allow_missing_keys=True, value=IGNORE),
        RandSpatialCropd(**both, roi_size=side, random_size=False),
        EnsureTyped("image", dtype=torch.float32, track_meta=False, allow_missing_keys=True),
        EnsureTyped("mask", dtype=torch.uint8, track_meta=False, allow_missing_keys=True),
    ]
    if jitter:
        steps.append(RandColord("image", jitter, allow_missing_keys=True))
    return Compose(steps).set_random_state(seed=seed)
