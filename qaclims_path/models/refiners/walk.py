"""The refiner `irn`, a random walk that stops at the boundaries of a trained network."""

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.refiners.walk import random_walk
from qaclims_path.errors import UsageError
from qaclims_path.models.refiners import REFINERS, Refined, Refiner, RefineSettings
from qaclims_path.models.refiners.pixels import label_pixels, resized, resized_to

WALK_STRIDE = 4  # pixels per cell of the boundary map, as published


@REFINERS.add("irn")
def build_irn(settings: RefineSettings) -> Refiner:
    """Random walk that spreads maps up to boundaries, see `compute.refiners.walk`; needs a boundary network."""
    edges = settings.edges
    if edges is None:
        raise UsageError("The refiner 'irn' needs a boundary network. Train one: `qaclims train boundary RUN`.")

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        if not maps.shape[1]:
            return label_pixels(resized_to(maps, images), present, settings)
        boundaries = edges(images)
        cells = maps if maps.shape[-2:] == boundaries.shape[-2:] else resized(maps, boundaries.shape[-2:])
        spread = random_walk(
            cells, boundaries, radius=settings.radius, beta=settings.beta, doublings=settings.doublings
        )
        height, width = images.shape[-2:]
        full = F.interpolate(spread, scale_factor=WALK_STRIDE, mode="bilinear", align_corners=False)
        full = full[..., :height, :width]
        most = full.flatten(1).amax(1).clamp(min=torch.finfo(full.dtype).tiny)
        return label_pixels(full / most.view(-1, 1, 1, 1), present, settings)

    return refine
