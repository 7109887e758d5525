"""Saving and loading the weights of a network and the spec of its backbone."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from qaclims_path.errors import BadFile
from qaclims_path.files.tensors import save_tensors
from qaclims_path.models.backbones import Backbone
from qaclims_path.models.weights import read_weights


def save_network(path: Path, network: nn.Module) -> None:
    """Write the weights as safetensors, in one step."""
    save_tensors(path, network.state_dict(), {"format": "pt"})


def load_network(network: nn.Module, path: Path, settings: Path) -> None:
    """Load weights that `save_network` wrote; `settings` is the file that the network was built from."""
    state, own = read_weights(path), network.state_dict()
    if {key: value.shape for key, value in state.items()} != {key: value.shape for key, value in own.items()}:
        raise BadFile(f"{path} does not belong to {settings}. Copy both from the same folder.")
    network.load_state_dict(state)


def backbone_settings(backbone: Backbone) -> dict[str, Any]:
    """Return the spec of a backbone for JSON, with the mean and standard deviation that it uses."""
    pixels = {"mean": backbone.mean.flatten().tolist(), "std": backbone.std.flatten().tolist()}
    return {**asdict(backbone.spec), **pixels}
