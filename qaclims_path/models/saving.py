"""Networks of ours in a file, and back."""

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


def fill_network(network: nn.Module, path: Path, settings: Path) -> None:
    """Take over weights that `save_network` wrote; `settings` is the file that the network was built from."""
    state, wanted = read_weights(path), network.state_dict()
    if {key: value.shape for key, value in state.items()} != {key: value.shape for key, value in wanted.items()}:
        raise BadFile(f"{path} does not belong to {settings}. Copy both from one place.")
    network.load_state_dict(state)


def backbone_settings(backbone: Backbone) -> dict[str, Any]:
    """The spec that builds a backbone again, with the colours that it is normalised with."""
    colours = {"mean": backbone.mean.flatten().tolist(), "std": backbone.std.flatten().tolist()}
    return {**asdict(backbone.spec), **colours}
