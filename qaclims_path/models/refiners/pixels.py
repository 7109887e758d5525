"""Refiners that label each pixel with its highest map, as it is or after pixel-adaptive refinement."""

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.refiners.par import pixel_adaptive
from qaclims_path.compute.refiners.threshold import decide, in_doubt
from qaclims_path.models.refiners import REFINERS, Refined, Refiner, RefineSettings


@REFINERS.add("none")
def build_none(settings: RefineSettings) -> Refiner:
    """Label each pixel with its highest map, or with background below the threshold."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return label_pixels(resized_to(maps, images), present, settings)

    return refine


@REFINERS.add("par")
def build_par(settings: RefineSettings) -> Refiner:
    """Return the pixel-adaptive refinement of the maps, see `compute.refiners.par`."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return label_pixels(pixel_adaptive(images, resized_to(maps, images), rounds=settings.rounds), present, settings)

    return refine


def resized_to(maps: Tensor, images: Tensor) -> Tensor:
    """Resize maps to the size of their images, bilinear."""
    return resized(maps, images.shape[-2:])


def resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize maps to a size, bilinear; no maps become no maps of that size."""
    if maps.shape[-2:] == size or not maps.shape[1]:
        return maps if maps.shape[-2:] == size else maps.new_zeros(*maps.shape[:2], *size)
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False)


def label_pixels(maps: Tensor, present: Tensor, settings: RefineSettings) -> Refined:
    """Label pixels by their highest map, or as background; full-size maps B K H W."""
    labels, confidence = decide(maps, present, settings.threshold)
    if settings.band is None:
        return Refined(labels, confidence, torch.zeros_like(labels, dtype=torch.bool))
    return Refined(labels, confidence, in_doubt(maps, present, settings.band))
