"""Turn class scores into label indices: which classes an image may have, and where background wins."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.compute.confusion import NO_CLASS

_BLOCK = 4096


def allowed_classes(probabilities: NDArray[np.floating], threshold: float, *, keep_highest: bool) -> NDArray[np.bool_]:
    """Return the gate of one image: the classes whose probability (C) is above a threshold.

    Args:
        probabilities: C numbers in 0..1.
        threshold: A class is allowed when its probability is above this.
        keep_highest: Always allow the most probable class (the first if tied).

    Examples:
        >>> allowed_classes(np.array([0.3, 0.1]), 0.5, keep_highest=True).tolist()
        [True, False]
    """
    allowed: NDArray[np.bool_] = probabilities > threshold
    if keep_highest:
        allowed[np.argmax(probabilities)] = True
    return allowed


def gated(
    scores: NDArray[np.float32], labels: Sequence[int], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], list[int]]:
    """Remove the channels whose class the gate forbids; background, label C, always stays.

    Args:
        scores: K h w.
        labels: Label index of each channel.
        allowed: C, the gate.
    """
    keep = [k for k, label in enumerate(labels) if label >= len(allowed) or allowed[label]]
    return scores[keep], [labels[k] for k in keep]


def best_class(scores: NDArray[np.float32], labels: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the highest score (h w) and its label (h w); ties go to the first channel, as in `argmax`.

    Without channels the score is minus infinity and the label 255.
    """
    channels, height, width = scores.shape
    best = np.full(height * width, -np.inf, np.float32)
    label = np.full(height * width, NO_CLASS, np.uint8)
    if channels:
        flat = np.ascontiguousarray(scores, np.float32).reshape(channels, -1)
        _climb(flat, np.asarray(labels, np.uint8), best, label)
    return best.reshape(height, width), label.reshape(height, width)


@njit(cache=True, nogil=True)
def _climb(
    scores: NDArray[np.float32], labels: NDArray[np.uint8], best: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    """Compare channel by channel, in blocks whose best scores fit into the first cache."""
    for start in range(0, best.size, _BLOCK):
        stop = min(start + _BLOCK, best.size)
        for k in range(scores.shape[0]):
            for i in range(start, stop):
                higher = scores[k, i] > best[i]
                label[i] = labels[k] if higher else label[i]
                best[i] = scores[k, i] if higher else best[i]


def label_map(
    scores: NDArray[np.float32],
    labels: Sequence[int],
    background: int,
    *,
    predict_background: bool,
    map_threshold: float = 0.0,
    background_power: float | None = None,
) -> NDArray[np.uint8]:
    """Return the label indices (h w) of class scores (K h w); 255 without any channel.

    With a background channel the highest score wins, and ties go to background. Without one, and with
    `predict_background`, a pixel is background where no score is above `map_threshold`, or where
    `(1 - highest score) ** background_power` is at least the highest score.

    Args:
        scores: K h w.
        labels: Label index of each channel.
        background: Label index of background.
        predict_background: Allow background where there is no channel for it.
        map_threshold: Highest score of background, compared in float32.
        background_power: Power that is used instead of the threshold.
    """
    if background in labels:
        order = sorted(range(len(labels)), key=lambda k: labels[k] != background)
        return best_class(scores[order], [labels[k] for k in order])[1]
    best, label = best_class(scores, labels)
    if not predict_background:
        return label
    if background_power is None:
        empty = best <= np.float32(map_threshold)
    else:
        highest = np.clip(best, 0, 1)
        empty = (1 - highest) ** np.float32(background_power) >= highest
    return np.where(empty, np.uint8(background), label)
