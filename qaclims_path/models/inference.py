"""CamNet for inference: fused layers, channels-last memory, lower precision."""

from copy import deepcopy

import torch

from qaclims_path.compute.devices import Precision, dtype_of
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.fusing import can_fuse_pointwise, fuse


def for_inference(net: CamNet, device: torch.device, precision: Precision = "fp32") -> CamNet:
    """Copy a network for inference; the backbone runs in the precision, normalisation and heads in fp32.

    Examples:
        >>> fast = for_inference(net, torch.device("cpu"), "bf16")  # doctest: +SKIP
        >>> with torch.inference_mode():  # doctest: +SKIP
        ...     maps = fast(images.to(memory_format=torch.channels_last)).maps
    """
    dtype = dtype_of(precision, device)
    fast = deepcopy(net).cpu().eval().requires_grad_(requires_grad=False)
    pointwise = can_fuse_pointwise(device, dtype)
    fast.backbone.model = fuse(fast.backbone.model, pointwise=pointwise, stages=fast.side.stages)
    fast.backbone.model.to(dtype)
    fast.to(device)
    fast.to(memory_format=torch.channels_last)
    return fast
