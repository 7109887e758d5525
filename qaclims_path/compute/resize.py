"""Resizing of scores, as `interpolate(..., align_corners=False)` does it, and of labels, without loading torch."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

U = TypeVar("U", np.uint8, np.bool_)


def resize_bilinear(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize K h w to K height width; pixel centres are aligned and edges repeat.

    Examples:
        >>> resize_bilinear(np.array([[[0.0, 1.0]]], np.float32), 1, 4).tolist()
        [[[0.0, 0.25, 0.75, 1.0]]]
    """
    if scores.shape[1:] == (height, width):
        return scores
    top, bottom, down = _neighbours(scores.shape[1], height)
    rows = scores[:, top] * (1 - down)[:, None] + scores[:, bottom] * down[:, None]
    left, right, across = _neighbours(scores.shape[2], width)
    wide = rows[:, :, left] * (1 - across) + rows[:, :, right] * across
    return wide.astype(np.float32, copy=False)


def resize_nearest(labels: NDArray[U], height: int, width: int) -> NDArray[U]:
    """Resize labels h w to height width; a pixel gets the label at its centre.

    Examples:
        >>> resize_nearest(np.array([[3, 7]], np.uint8), 1, 4).tolist()
        [[3, 3, 7, 7]]
    """
    if labels.shape == (height, width):
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
        for old, new in zip(labels.shape, (height, width), strict=True)
    )
    return labels[np.ix_(rows, columns)]


def _neighbours(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two old indices beside each new one, and its distance from the first in 0..1."""
    position = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, old - 1), (position - first).astype(np.float32)
