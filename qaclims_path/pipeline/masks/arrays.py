"""Turn the maps of an image in memory into labels, without files."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.devices import device_of
from qaclims_path.errors import UsageError
from qaclims_path.files.images import pixels_of
from qaclims_path.models.refiners import RefineSettings, build_refiner
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.masks.settings import CRF

BACKGROUND = 255
Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


def refine_maps(
    image: Pixels | Image.Image, maps: NDArray[np.floating], options: MaskOptions, device: str = "auto"
) -> tuple[Pixels, Scores]:
    """Refine the maps of one image, as `make_masks` does with stored ones, and take the highest at each pixel.

    Args:
        image: H W 3 array of bytes, or a Pillow image.
        maps: K h w in 0..1, of the size of the image or smaller.
        options: Refiner, threshold, and settings of the refiner.
        device: `auto`, `cpu`, `cuda`, ...

    Returns:
        Labels H W, indices of maps, 255 for background; and the confidence of each label, H W in 0..1.
    """
    pixels, threshold = pixels_of(image), options.threshold
    _check_maps(maps, pixels)
    if options.refiner == "irn" or threshold == "cross-fitted":
        way = "refiner irn" if options.refiner == "irn" else "cross-fitted threshold"
        raise UsageError(f"refine_maps() has no {way}, which needs a whole data set. Use make_masks().")
    settings = RefineSettings(
        threshold=None if threshold == "protocol" else float(threshold),
        band=options.band,
        rounds=options.rounds,
        unary=options.unary,
        certainty=options.certainty,
        crf=CRF["tissue" if options.crf == "auto" else options.crf],
    )
    hardware = device_of(device)
    images = torch.tensor(pixels, device=hardware).permute(2, 0, 1)[None].float() / 255
    stacked = torch.tensor(np.asarray(maps, np.float32), device=hardware)[None]
    found = build_refiner(options.refiner, settings)(images, stacked, stacked.new_ones(1, len(maps), dtype=torch.bool))
    labels = found.labels[0].cpu().numpy()
    return np.where(labels == len(maps), np.uint8(BACKGROUND), labels), found.confidence[0].cpu().numpy()


def _check_maps(maps: NDArray[np.floating], pixels: Pixels) -> None:
    shape = np.shape(maps)
    fits = len(shape) == 3 and 0 not in shape and shape[0] < BACKGROUND
    if not fits or shape[1] > pixels.shape[0] or shape[2] > pixels.shape[1]:
        raise UsageError(
            f"The maps have the shape {shape}; they should be (classes, height, width), not larger than the image of "
            f"{pixels.shape[0]} x {pixels.shape[1]} pixels."
        )
    if not (np.isfinite(maps).all() and np.min(maps) >= 0 and np.max(maps) <= 1):
        raise UsageError("The maps have values outside of 0 to 1. Divide each by its maximum, or take probabilities.")
