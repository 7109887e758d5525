"""Borders of masks and of label maps."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

P = TypeVar("P", np.uint8, np.bool_)


def borders(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Mark the pixels of a label map (H W) that are at most `width` steps from a pixel of another label.

    Steps go up, down, left and right. The image's own edge is no border.

    Examples:
        >>> borders(np.array([[1, 1, 1, 7]], np.uint8), 1)
        array([[False, False,  True,  True]])
    """
    same = np.ones(labels.shape, bool)
    for neighbours in _shifted(labels):
        same &= neighbours == labels
    core = np.ones(labels.shape, bool)
    for _ in range(width):
        core = same & np.logical_and.reduce(_shifted(core))
    return ~core


def border(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Mark the pixels of a mask (H W) that are at most `width` steps from a pixel outside it, as `borders` does.

    Examples:
        >>> border(np.array([[True, True, True, False]]), 1)
        array([[False, False,  True, False]])
    """
    return mask & borders(mask.astype(np.uint8), width)


def _shifted(pixels: NDArray[P]) -> list[NDArray[P]]:
    """Return the neighbour of every pixel (H W) above, below, to the left and to the right; an edge repeats itself."""
    padded = np.pad(pixels, 1, mode="edge")
    return [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
