"""The finest maps of an image that its file gives."""

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.maps import ImageMaps


def finest(stored: ImageMaps) -> NDArray[np.floating]:
    """Return K H W maps at full size, merged as released (`high_res`) if those of every scale were kept; else K h w."""
    if not stored.scales:
        return stored.maps
    import torch

    from qaclims_path.compute.cams import high_resolution

    return high_resolution([torch.from_numpy(scale).float() for scale in stored.scales], *stored.size).numpy()
