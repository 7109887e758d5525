"""The refiner `crf`, a dense conditional random field on the CPU."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.refiners.crf import dense_crf, label_energy, map_energy
from qaclims_path.compute.refiners.labels import IGNORED, agreed, threshold_labels
from qaclims_path.models.refiners import REFINERS, Refined, Refiner, RefineSettings
from qaclims_path.models.refiners.pixels import resized_to

LEAST_SCORE = 1e-5  # added to scores, so that their sum is never 0


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
