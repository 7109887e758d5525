"""Initial weights of backbones from safetensors files, checkpoints of torch, and .params files of MXNet."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from qaclims_path.errors import BadFile, UsageError, first_of
from qaclims_path.files.hub import HUB, LOCAL, resolve
from qaclims_path.files.mxnet_params import read_params
from qaclims_path.models.backbones import Backbone
from qaclims_path.models.checkpoints import read_checkpoint
from qaclims_path.models.names import CHECKPOINTS, PARAMS, check_file, split_revision

SHOWN = 3
State = dict[str, Tensor]


def read_weights(path: Path) -> State:
    """Read a safetensors file, a checkpoint of torch, or a .params file of MXNet; nothing in them is executed."""
    check_file(path)
    if path.suffix in CHECKPOINTS:
        return read_checkpoint(path)
    if path.suffix == PARAMS:
        return {name: torch.from_numpy(array.copy()) for name, array in read_params(path).items()}
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is not a complete safetensors file: {error}. Copy or write it again.") from error


def interpolate(after: State, before: State, share: float) -> State:
    """Interpolate floating-point weights linearly from `after` (share 0) to `before` (share 1).

    Other tensors are those of `after`.

    Examples:
        >>> interpolate({"a": Tensor([2.0])}, {"a": Tensor([0.0])}, 0.25)
        {'a': tensor([1.5000])}
    """
    return {
        name: value.lerp(before[name].to(value), share) if value.is_floating_point() else value
        for name, value in after.items()
    }


def pretrained_weights(name: str) -> tuple[State, str]:
    """Read the pretrained weights of a backbone by its name; also their hub id or local folder."""
    source = name
    if not name.startswith((HUB, LOCAL)):
        known = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
        if known is None or not known.hf_hub_id:
            raise UsageError(
                f"timm has no pretrained weights for '{name}'. Give a .safetensors file, or train without weights."
            )
        source = f"{HUB}{known.hf_hub_id}"
    model, revision = split_revision(source)
    folder = resolve(model, revision=revision, files=("*.safetensors", "*.json"))
    files = sorted(folder.glob("*.safetensors"))
    file = next((path for path in files if path.name == "model.safetensors"), files[0])
    return read_weights(file), source


def load_backbone(backbone: Backbone, state: Mapping[str, Tensor], source: object) -> list[str]:
    """Load weights into a backbone; every parameter must be given, and those of a classifier are ignored.

    Names may have a wrapper's prefix; layouts that timm can convert are converted.

    Args:
        backbone: Backbone to change in place.
        state: Tensors by name.
        source: Origin of the weights, for messages.

    Returns:
        Sentences about weights that were not used.
    """
    model = backbone.model
    own = model.state_dict()
    given = _without_prefix(state, own)
    if not own.keys() <= given.keys():
        given = _converted(given, model) or given
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    if missing:
        raise BadFile(
            f"{source} does not fit the backbone '{backbone.spec.source}': it lacks {len(missing)} of its "
            f"{len(own)} tensors ({first_of(missing, SHOWN)}). Choose the backbone that the weights were made with."
        )
    wrong = [
        f"{key} is {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in own.items()
        if key in given and given[key].shape != value.shape
    ]
    if wrong:
        raise BadFile(
            f"{source} does not fit the backbone '{backbone.spec.source}': {len(wrong)} tensors have another shape "
            f"({first_of(wrong, SHOWN, '; ')}). Choose the backbone that the weights were made with."
        )
    model.load_state_dict({key: given[key] for key in own if key in given}, strict=False)
    unused = sorted(given.keys() - own.keys())
    return [f"{len(unused)} tensors of {source} were not used ({first_of(unused, SHOWN)})."] if unused else []


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> State:
    """Remove a wrapper's prefix, such as `module.`, from the names: whatever precedes the model's first name."""
    first = next(iter(own))
    if first in state:
        return dict(state)
    prefix = next((key.removesuffix(first) for key in state if key.endswith(f".{first}")), "")
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _converted(state: State, model: nn.Module) -> State | None:
    """Convert other layouts with timm's function of the architecture; None if it has none or it fails."""
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        return dict(convert(dict(state), model))
    except Exception:  # a foreign layout can fail in any way; the caller then names the missing tensors
        return None
