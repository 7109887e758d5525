"""The border of a mask."""

import numpy as np
from numpy.typing import NDArray


def border(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Mark the pixels of a mask (H W) that are at most `width` steps from a pixel outside it.

    Steps go up, down, left and right. The image's own edge is no border.

    Examples:
        >>> border(np.array([[True, True, True, False]]), 1)
        array([[False, False,  True, False]])
    """
    core = mask
    for _ in range(width):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~core
