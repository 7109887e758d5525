"""Names of backbones and of files with weights: checked without torch and timm, which take seconds to import."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import HUB, LOCAL, check_name

PARAMS = ".params"
CHECKPOINTS = ".pth", ".pt"  # of torch, read with `weights_only=True`
RELEASED = {  # backbones whose pretrained weights are a file that everybody downloads for themselves
    "resnet101_caffe": "deeplabv1_resnet101-imagenet.pth",
    "wideresnet38": "ilsvrc-cls_rna-a1_cls1000_ep-0001.params",
}
MODEL = re.compile(r"^@(?:timm\.models\.)?register_model\s+def (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class BackboneSpec:
    """Everything needed to build a backbone, except weights.

    Attributes:
        source: Name that the user gave: a timm name, a hub id, or the name of a local folder (never its path).
        architecture: Name in timm.
        arguments: Further arguments of timm's constructor.
        mean: Mean of the pixels, red green blue, in 0..1; None takes the value of timm.
        std: Standard deviation of the pixels; None takes the value of timm.
    """

    source: str
    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def split_revision(name: str) -> tuple[str, str | None]:
    """Split `model@revision`; only models on the hub have a revision.

    Examples:
        >>> split_revision("hf-hub:owner/name@main")
        ('hf-hub:owner/name', 'main')
    """
    model, _, revision = name.partition("@") if name.startswith(HUB) else (name, "", "")
    return model, revision or None


def check_network(backbone: str, weights: str) -> None:
    """Refuse an unknown backbone and impossible initial weights, without loading or downloading anything."""
    check_backbone(backbone)
    if weights == "pretrained" and backbone in RELEASED:
        raise UsageError(
            f"The weights of '{backbone}' are a file such as {RELEASED[backbone]} (docs/benchmarks.md says where it "
            "is). Name it where the recipe says `weights: pretrained`, or train from random weights with `none`."
        )
    check_weights(weights)


def check_backbone(name: str) -> None:
    """Refuse an unknown backbone; nothing is downloaded, so only the spelling of an id of the hub is checked."""
    if name.startswith(HUB):
        check_name(split_revision(name)[0])
    elif name.split(".", maxsplit=1)[0] not in _models_of_timm():
        from qaclims_path.models.backbones import find_backbone

        find_backbone(name)


def check_weights(weights: str) -> None:
    """Refuse initial weights other than `pretrained`, `none`, a file of weights, a hub id or a folder."""
    if weights.startswith((HUB, LOCAL)):
        check_name(split_revision(weights)[0])
    elif weights not in ("pretrained", "none") and not Path(weights).is_dir():
        check_file(Path(weights))


def check_file(path: Path) -> None:
    """Refuse a file of weights that is missing, or in a format that is not read."""
    if path.suffix not in (".safetensors", *CHECKPOINTS, PARAMS):
        raise UsageError(
            f"{path} is not a .safetensors file, nor a checkpoint of torch ({', '.join(CHECKPOINTS)}) or a {PARAMS} "
            "file of MXNet; other formats are not read, because they can run code."
        )
    if not path.exists():
        raise BadFile(f"The weights {path} do not exist.")


@cache
def _models_of_timm() -> frozenset[str]:
    """Read the names of timm's models from its files; a name that is not among them is looked up by timm itself."""
    found = find_spec("timm")
    folders = found.submodule_search_locations if found and found.submodule_search_locations else []
    files = [Path(__file__).with_name(name) for name in ("cafferesnet.py", "wideresnet.py")]  # which register their own
    files += [path for folder in folders for path in Path(folder).glob("models/*.py")]
    return frozenset(name for path in files for name in MODEL.findall(path.read_text(encoding="utf-8")))
