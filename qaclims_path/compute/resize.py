"""Bilinear resizing of class scores, as `interpolate(..., align_corners=False)` does it, without loading torch."""

import numpy as np
from numpy.typing import NDArray


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


def _neighbours(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two old indices beside each new one, and its distance from the first in 0..1."""
    position = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, old - 1), (position - first).astype(np.float32)
