"""Refiners turn the maps of the classes present into masks: one call, a name in a registry, on CPU and GPU alike.

A refiner gets a batch of images of one size and, for each, up to K maps. It answers with numbers of maps: 0..K-1, and K
for background. Which class a map is of is not its business. Another package adds one through the entry points
`qaclims_path.refiners`: a function from `RefineSettings` to a `Refiner`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.refiners.crf import LABEL_STEP, CrfSettings, dense_crf, label_energy, map_energy
from qaclims_path.compute.refiners.labels import IGNORED, agreed, threshold_labels
from qaclims_path.compute.refiners.par import pixel_adaptive
from qaclims_path.compute.refiners.threshold import decide, in_doubt
from qaclims_path.compute.refiners.walk import random_walk
from qaclims_path.errors import UsageError
from qaclims_path.registry import Registry

LEAST_SCORE = 1e-5  # so that scores of zero still add up to something
WALKED_STRIDE = 4  # pixels per cell of the boundaries, as published


class Refined(NamedTuple):
    """Masks of a batch.

    Attributes:
        labels: B H W, uint8: number of the map, K for background.
        confidence: B H W, float32 in 0..1.
        doubt: B H W, bool: from such a pixel nothing should be learned.
    """

    labels: Tensor
    confidence: Tensor
    doubt: Tensor


class Refiner(Protocol):
    """Whatever turns maps into masks."""

    def __call__(self, images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        """Refine a batch on the device it is on.

        Args:
            images: B 3 H W in 0..1.
            maps: B K h w in 0..1, of the classes present; h w may be smaller than H W.
            present: B K, bool; False where an image has fewer than K classes, such a map is zero.
        """
        ...


@dataclass(frozen=True)
class RefineSettings:
    """What refiners are built from; each takes what concerns it.

    Attributes:
        threshold: Background is where no map is above it; None where data have no background.
        band: Lower and upper threshold between which a pixel is in doubt.
        rounds: Of pixel-adaptive refinement.
        unary: Whether the dense CRF begins with hard labels, as published for masks, or with the maps.
        certainty: Of hard labels.
        crf: Rounds and kernels of the dense CRF.
        threads: Images that the dense CRF works on at once.
        radius: Of the random walk, in cells of 4 pixels.
        beta: Power of its affinities.
        doublings: It has 2 to this power steps.
        edges: Boundaries of B 3 H W images in 0..1, B h w at a quarter of their size, for the random walk.
    """

    threshold: float | None = None
    band: tuple[float, float] | None = None
    rounds: int = 10
    unary: Literal["labels", "maps"] = "labels"
    certainty: float = 0.7
    crf: CrfSettings = LABEL_STEP
    threads: int = 1
    radius: int = 5
    beta: float = 10.0
    doublings: int = 8
    edges: Callable[[Tensor], Tensor] | None = None


REFINERS: Registry[Callable[[RefineSettings], Refiner]] = Registry("refiner", "qaclims_path.refiners")


def build_refiner(name: str, settings: RefineSettings) -> Refiner:
    """Build a registered refiner.

    Example:
        >>> build_refiner("none", RefineSettings(threshold=0.3))
        <function ...>
    """
    check_band(settings.band, settings.threshold)
    return REFINERS[name](settings)


def check_band(band: tuple[float, float] | None, threshold: float | None) -> None:
    """Refuse a band of doubt without a threshold in it."""
    if band is not None and threshold is None:
        raise UsageError("A band of doubt lies around the threshold of background, but these data have no background.")
    if band is not None and threshold is not None and not band[0] <= threshold <= band[1]:
        raise UsageError(f"The threshold {threshold:g} lies outside its band of doubt, {band[0]:g} to {band[1]:g}.")


@REFINERS.add("none")
def plain(settings: RefineSettings) -> Refiner:
    """The highest map wins, and background below the threshold."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return _decided(enlarged(maps, images), present, settings)

    return refine


@REFINERS.add("par")
def adaptive(settings: RefineSettings) -> Refiner:
    """Maps take on the colours of the picture, see `compute.refiners.par`."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return _decided(pixel_adaptive(images, enlarged(maps, images), rounds=settings.rounds), present, settings)

    return refine


@REFINERS.add("irn")
def walked(settings: RefineSettings) -> Refiner:
    """Maps spread until a boundary stops them, see `compute.refiners.walk`; needs a boundary network."""
    edges = settings.edges
    if edges is None:
        raise UsageError("The refiner 'irn' needs a boundary network. Train one: `qaclims train boundary RUN`.")

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        if not maps.shape[1]:
            return _decided(enlarged(maps, images), present, settings)
        boundaries = edges(images)
        cells = maps if maps.shape[-2:] == boundaries.shape[-2:] else _resized(maps, boundaries.shape[-2:])
        spread = random_walk(
            cells, boundaries, radius=settings.radius, beta=settings.beta, doublings=settings.doublings
        )
        height, width = images.shape[-2:]
        full = F.interpolate(spread, scale_factor=WALKED_STRIDE, mode="bilinear", align_corners=False)
        full = full[..., :height, :width]
        most = full.flatten(1).amax(1).clamp(min=torch.finfo(full.dtype).tiny)
        return _decided(full / most.view(-1, 1, 1, 1), present, settings)

    return refine


@REFINERS.add("crf")
def conditional(settings: RefineSettings) -> Refiner:
    """Labels follow the edges of the picture, see `compute.refiners.crf`; works on the CPU, several images at once.

    With hard labels and a band, the labellings of all three thresholds are worked on together, and doubt is as
    published with IRN: no class under the upper threshold, and not background under the lower.
    """

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        full = enlarged(maps, images).float().cpu().numpy()
        pictures = images.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy()
        chosen = present.cpu().numpy()
        with ThreadPoolExecutor(max_workers=settings.threads) as pool:
            found = list(pool.map(_labelled, pictures, full, chosen, repeat(settings)))
        labels, confidence, doubt = (
            torch.from_numpy(np.stack(part)).to(images.device) for part in zip(*found, strict=True)
        )
        return Refined(labels, confidence, doubt)

    return refine


def enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Maps at the size of their images, bilinear."""
    return _resized(maps, images.shape[-2:])


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    if maps.shape[-2:] == size or not maps.shape[1]:
        return maps if maps.shape[-2:] == size else maps.new_zeros(*maps.shape[:2], *size)
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False)


def _decided(maps: Tensor, present: Tensor, settings: RefineSettings) -> Refined:
    labels, confidence = decide(maps, present, settings.threshold)
    if settings.band is None:
        return Refined(labels, confidence, torch.zeros_like(labels, dtype=torch.bool))
    return Refined(labels, confidence, in_doubt(maps, present, settings.band))


def _labelled(
    picture: NDArray[np.uint8], maps: NDArray[np.float32], present: NDArray[np.bool_], settings: RefineSettings
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Labels, confidence and doubt of one image; maps of classes that are not present are left out meanwhile."""
    own = np.flatnonzero(present)
    background, nothing = len(own), np.zeros(picture.shape[:2], np.bool_)
    numbers = np.append(own, len(present)).astype(np.uint8)
    if not background:
        sure = np.full(nothing.shape, 0.0 if settings.threshold is None else 1.0, np.float32)
        return np.full(nothing.shape, numbers[0], np.uint8), sure, nothing
    thresholds = _labellings(settings)
    found = dense_crf(picture, _energies(maps[own], settings, thresholds), settings.crf)
    own_at = thresholds.index(settings.threshold)
    labels = found.argmax(axis=1).astype(np.uint8)
    if settings.band is not None and len(labels) > 1:
        high, low = (labels[thresholds.index(end)] for end in settings.band[::-1])
        doubt = agreed(high, low, background) == IGNORED
    else:
        doubt = nothing
    return numbers[labels[own_at]], found[own_at].max(axis=0), doubt


def _labellings(settings: RefineSettings) -> list[float | None]:
    """Thresholds of the labellings that are worked on together, each once."""
    if settings.unary == "maps" or settings.band is None:
        return [settings.threshold]
    return list(dict.fromkeys((settings.threshold, *settings.band)))


def _energies(
    maps: NDArray[np.float32], settings: RefineSettings, thresholds: Sequence[float | None]
) -> NDArray[np.float32]:
    """Energies (G K H W) of the maps, or of hard labels at every threshold."""
    if settings.unary == "maps":
        empty = [] if settings.threshold is None else [np.full_like(maps[:1], settings.threshold)]
        scores = np.concatenate([np.maximum(maps, 0), *empty]) + np.float32(LEAST_SCORE)
        return map_energy(scores / scores.sum(axis=0))[None]
    if settings.threshold is None:
        return label_energy(maps.argmax(axis=0).astype(np.uint8), len(maps), settings.certainty)[None]
    labellings = (threshold_labels(maps, at) for at in thresholds if at is not None)
    return np.stack([label_energy(labels, len(maps) + 1, settings.certainty) for labels in labellings])
