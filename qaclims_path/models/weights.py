"""Initial weights from safetensors files: what fits is taken, and what does not fit is said in a sentence."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import HUB, LOCAL, check_name, resolve
from qaclims_path.models.backbones import Backbone, split_revision

SHOWN = 3
State = dict[str, Tensor]


def read_weights(path: Path) -> State:
    """Read a safetensors file; pickles are never opened."""
    _check_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is not a complete safetensors file: {error}. Copy or write it again.") from error


def check_weights(weights: str) -> None:
    """Refuse what names no initial weights: `pretrained`, `none`, a .safetensors file, a hub id, or a folder."""
    if weights.startswith((HUB, LOCAL)):
        check_name(split_revision(weights)[0])
    elif weights not in ("pretrained", "none") and not Path(weights).is_dir():
        _check_file(Path(weights))


def _check_file(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(f"{path} is no .safetensors file; other weights are not read because a pickle can run code.")
    if not path.exists():
        raise BadFile(f"The weights {path} do not exist.")


def between(after: State, before: State, share: float) -> State:
    """Weights on the straight line from `after` (share 0) back to `before` (share 1).

    What is no floating number stays as it is in `after`.

    Example:
        >>> between({"a": Tensor([2.0])}, {"a": Tensor([0.0])}, 0.25)
        {'a': tensor([1.5000])}
    """
    return {
        name: value.lerp(before[name].to(value), share) if value.is_floating_point() else value
        for name, value in after.items()
    }


def pretrained_weights(name: str) -> tuple[State, str]:
    """Weights that belong to a backbone by name, and where they come from: the hub's cache, or a local folder."""
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
    wanted = next((path for path in files if path.name == "model.safetensors"), files[0])
    return read_weights(wanted), source


def load_backbone(backbone: Backbone, state: Mapping[str, Tensor], source: object) -> list[str]:
    """Fill a backbone; every parameter must be there, a classifier on top is left out.

    Names may carry the prefix of a wrapper, and layouts that timm itself can convert are converted.

    Args:
        backbone: Is changed in place.
        state: Tensors by name.
        source: Where they come from, for messages.

    Returns:
        Sentences about what was left out.
    """
    model = backbone.model
    wanted = model.state_dict()
    found = _without_prefix(state, wanted)
    if not wanted.keys() <= found.keys():
        found = _converted(found, model) or found
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    if missing:
        raise BadFile(
            f"{source} does not fit the backbone '{backbone.spec.source}': it lacks {len(missing)} of its "
            f"{len(wanted)} tensors ({_some(missing)}). Choose the backbone that the weights were made with."
        )
    wrong = [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    if wrong:
        raise BadFile(
            f"{source} does not fit the backbone '{backbone.spec.source}': {len(wrong)} tensors have another shape "
            f"({_some(wrong, '; ')}). Choose the backbone that the weights were made with."
        )
    model.load_state_dict({key: found[key] for key in wanted if key in found}, strict=False)
    rest = sorted(found.keys() - wanted.keys())
    return [f"{len(rest)} tensors of {source} were left out ({_some(rest)})."] if rest else []


def _without_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> State:
    """Names without what a wrapper put before them, such as `module.`: whatever stands before the first one wanted."""
    first = next(iter(wanted))
    if first in state:
        return dict(state)
    prefix = next((key.removesuffix(first) for key in state if key.endswith(f".{first}")), "")
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _converted(state: State, model: nn.Module) -> State | None:
    """Timm's own conversion of other layouts, where the architecture has one and it understands these weights."""
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        return dict(convert(dict(state), model))
    except Exception:  # a foreign layout can break it anywhere; the caller then says what is missing
        return None


def _some(names: list[str], between: str = ", ") -> str:
    return between.join(names[:SHOWN]) + (f"{between}..." if len(names) > SHOWN else "")
