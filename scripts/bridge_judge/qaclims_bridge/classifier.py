"""The frozen classifier: a MobileNetV2 trained in TensorFlow, in the layout of torchvision."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2  # type: ignore[import-untyped]

from qaclims_path.errors import BadFile

LABELS = 1001  # the first is 'background'


class SamePadding(nn.Module):
    """Pads as TensorFlow before a convolution of stride 2: an odd pixel goes to the right and below."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Pad B C H W to B C H' W'."""
        needed = [max(self.kernel - (2 if side % 2 == 0 else 1), 0) for side in x.shape[-2:]]
        (top, bottom), (left, right) = ((each // 2, each - each // 2) for each in needed)
        return F.pad(x, (left, right, top, bottom))


def load_classifier(root: Path, name: str) -> nn.Module:
    """Read `weights/<name>.safetensors` below the data folder; pixels are expected in -1..1."""
    path = root / "weights" / f"{name}.safetensors"
    network = build_classifier()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise BadFile(f"{path} cannot be read as the weights of a MobileNetV2 of {LABELS} labels: {first}") from error
    _pad_as_tensorflow(network)
    return network.eval()


def build_classifier() -> nn.Module:
    """Build the network with random weights."""
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = mobilenet_v2(weights=None, num_classes=LABELS)
    return network


def _pad_as_tensorflow(network: nn.Module) -> None:
    """Move the padding of every convolution of stride 2 into a module before it."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                child.padding = (0, 0)
                setattr(module, name, nn.Sequential(SamePadding(child.kernel_size[0]), child))
