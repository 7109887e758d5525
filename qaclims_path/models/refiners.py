"""Refiners turn the maps of the present classes into masks, on a CPU or a GPU.

A refiner gets a batch of images of one size with up to K maps each. Its labels are map indices: 0..K-1, and K for
background; it does not know classes. Another package adds one through the entry points `qaclims_path.refiners`: a
function from `RefineSettings` to a `Refiner`.
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

LEAST_SCORE = 1e-5  # added to scores, so that their sum is never 0
WALK_STRIDE = 4  # pixels per cell of the boundary map, as published


class Refined(NamedTuple):
    """Masks of a batch.

    Attributes:
        labels: B H W, uint8: map index, K for background.
        confidence: B H W, float32 in 0..1.
        doubt: B H W, bool: pixels to ignore in training.
    """

    labels: Tensor
    confidence: Tensor
    doubt: Tensor


class Refiner(Protocol):
    """Turns maps into masks."""

    def __call__(self, images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        """Refine a batch on its device.

        Args:
            images: B 3 H W in 0..1.
            maps: B K h w in 0..1, one per present class; h w may be smaller than H W.
            present: B K, bool; False for the maps of an image with fewer than K classes, which are zero.
        """
        ...


@dataclass(frozen=True)
class RefineSettings:
    """Settings of all refiners; each uses its own.

    Attributes:
        threshold: A pixel is background if no map exceeds it; None for data without background.
        band: Lower and upper threshold between which a pixel is in doubt.
        rounds: Iterations of pixel-adaptive refinement.
        unary: Unary energies of the dense CRF: from hard labels, as published for masks, or from the maps.
        certainty: Probability of a hard label in the dense CRF.
        crf: Iterations and kernels of the dense CRF.
        threads: Images that the dense CRF processes at once.
        radius: Radius of the random walk, in cells of 4 pixels.
        beta: Exponent of the affinities of the random walk.
        doublings: The random walk has 2 to this power steps.
        edges: Function from B 3 H W images in 0..1 to boundaries B h w at a quarter of their size; for `irn`.
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

    Examples:
        >>> build_refiner("none", RefineSettings(threshold=0.3))
        <function ...>
    """
    check_band(settings.band, settings.threshold)
    return REFINERS[name](settings)


def check_band(band: tuple[float, float] | None, threshold: float | None) -> None:
    """Refuse a band of doubt that does not contain the threshold."""
    if band is not None and threshold is None:
        raise UsageError(
            "A band of doubt lies around the background threshold, but these data have no background. Leave it out."
        )
    if band is not None and threshold is not None and not band[0] <= threshold <= band[1]:
        raise UsageError(f"The threshold {threshold:g} must lie in its band of doubt, {band[0]:g} to {band[1]:g}.")


@REFINERS.add("none")
def build_none(settings: RefineSettings) -> Refiner:
    """Label each pixel with its highest map, or with background below the threshold."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return _label(resized_to(maps, images), present, settings)

    return refine


@REFINERS.add("par")
def build_par(settings: RefineSettings) -> Refiner:
    """Return the pixel-adaptive refinement of the maps, see `compute.refiners.par`."""

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        return _label(pixel_adaptive(images, resized_to(maps, images), rounds=settings.rounds), present, settings)

    return refine


@REFINERS.add("irn")
def build_irn(settings: RefineSettings) -> Refiner:
    """Random walk that spreads maps up to boundaries, see `compute.refiners.walk`; needs a boundary network."""
    edges = settings.edges
    if edges is None:
        raise UsageError("The refiner 'irn' needs a boundary network. Train one: `qaclims train boundary RUN`.")

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        if not maps.shape[1]:
            return _label(resized_to(maps, images), present, settings)
        boundaries = edges(images)
        cells = maps if maps.shape[-2:] == boundaries.shape[-2:] else _resized(maps, boundaries.shape[-2:])
        spread = random_walk(
            cells, boundaries, radius=settings.radius, beta=settings.beta, doublings=settings.doublings
        )
        height, width = images.shape[-2:]
        full = F.interpolate(spread, scale_factor=WALK_STRIDE, mode="bilinear", align_corners=False)
        full = full[..., :height, :width]
        most = full.flatten(1).amax(1).clamp(min=torch.finfo(full.dtype).tiny)
        return _label(full / most.view(-1, 1, 1, 1), present, settings)

    return refine


@REFINERS.add("crf")
def build_crf(settings: RefineSettings) -> Refiner:
    """Dense CRF, see `compute.refiners.crf`; it runs on the CPU, several images at once.

    With hard labels and a band, the labels of all three thresholds are refined together. A pixel is in doubt as
    published with IRN: background under the upper threshold, and not background under the lower.
    """

    def refine(images: Tensor, maps: Tensor, present: Tensor) -> Refined:
        full = resized_to(maps, images).float().cpu().numpy()
        pictures = images.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy()
        of_image = present.cpu().numpy()
        with ThreadPoolExecutor(max_workers=settings.threads) as pool:
            refined = list(pool.map(_crf_labels, pictures, full, of_image, repeat(settings)))
        labels, confidence, doubt = (
            torch.from_numpy(np.stack(part)).to(images.device) for part in zip(*refined, strict=True)
        )
        return Refined(labels, confidence, doubt)

    return refine


def resized_to(maps: Tensor, images: Tensor) -> Tensor:
    """Resize maps to the size of their images, bilinear."""
    return _resized(maps, images.shape[-2:])


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    if maps.shape[-2:] == size or not maps.shape[1]:
        return maps if maps.shape[-2:] == size else maps.new_zeros(*maps.shape[:2], *size)
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False)


def _label(maps: Tensor, present: Tensor, settings: RefineSettings) -> Refined:
    labels, confidence = decide(maps, present, settings.threshold)
    if settings.band is None:
        return Refined(labels, confidence, torch.zeros_like(labels, dtype=torch.bool))
    return Refined(labels, confidence, in_doubt(maps, present, settings.band))


def _crf_labels(
    picture: NDArray[np.uint8], maps: NDArray[np.float32], present: NDArray[np.bool_], settings: RefineSettings
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Labels, confidence and doubt of one image; the CRF sees only the maps of present classes."""
    indices = np.flatnonzero(present)
    background, no_doubt = len(indices), np.zeros(picture.shape[:2], np.bool_)
    map_index = np.append(indices, len(present)).astype(np.uint8)
    if not background:
        confidence = np.full(no_doubt.shape, 0.0 if settings.threshold is None else 1.0, np.float32)
        return np.full(no_doubt.shape, map_index[0], np.uint8), confidence, no_doubt
    thresholds = _thresholds(settings)
    probabilities = dense_crf(picture, _energies(maps[indices], settings, thresholds), settings.crf)
    row = thresholds.index(settings.threshold)
    labels = probabilities.argmax(axis=1).astype(np.uint8)
    if settings.band is not None and len(labels) > 1:
        high, low = (labels[thresholds.index(end)] for end in settings.band[::-1])
        doubt = agreed(high, low, background) == IGNORED
    else:
        doubt = no_doubt
    return map_index[labels[row]], probabilities[row].max(axis=0), doubt


def _thresholds(settings: RefineSettings) -> list[float | None]:
    """Return thresholds whose labels are refined together, each once."""
    if settings.unary == "maps" or settings.band is None:
        return [settings.threshold]
    return list(dict.fromkeys((settings.threshold, *settings.band)))


def _energies(
    maps: NDArray[np.float32], settings: RefineSettings, thresholds: Sequence[float | None]
) -> NDArray[np.float32]:
    """Return the unary energies (G K H W) of the maps, or of hard labels at each of G thresholds."""
    if settings.unary == "maps":
        of_background = [] if settings.threshold is None else [np.full_like(maps[:1], settings.threshold)]
        scores = np.concatenate([np.maximum(maps, 0), *of_background]) + np.float32(LEAST_SCORE)
        return map_energy(scores / scores.sum(axis=0))[None]
    if settings.threshold is None:
        return label_energy(maps.argmax(axis=0).astype(np.uint8), len(maps), settings.certainty)[None]
    hard_labels = (threshold_labels(maps, threshold) for threshold in thresholds if threshold is not None)
    return np.stack([label_energy(labels, len(maps) + 1, settings.certainty) for labels in hard_labels])
