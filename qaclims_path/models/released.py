"""Networks of maps as CLIMS and QA-CLIMS save them, such as the first classifier `res50_cam.pth`."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from qaclims_path.errors import BadFile
from qaclims_path.models.weights import State, read_weights

BACKBONE, HEAD = "resnet50.", "classifier.weight"
ALIASES = re.compile(r"(stage\d|backbone|newly_added)\.")  # more names of the same tensors


def split_released(state: Mapping[str, Tensor]) -> tuple[State, Tensor | None]:
    """Split weights into those of the backbone and of the classifier.

    Args:
        state: Tensors by name.

    Returns:
        The backbone by its names in timm, and the classifier (K D 1 1). Weights of another origin are returned as they
        are, without a classifier.
    """
    if HEAD not in state or not any(key.startswith(BACKBONE) for key in state):
        return dict(state), None
    kept = {key.removeprefix(BACKBONE): value for key, value in state.items() if not ALIASES.match(key)}
    return kept, kept.pop(HEAD)


def check_released(path: Path, classes: int) -> None:
    """Refuse a file that is no released classifier of this number of classes."""
    _, head = split_released(read_weights(path))
    if head is None:
        raise BadFile(
            f"{path} is not a classifier as CLIMS saves it: it needs tensors '{BACKBONE}...' and '{HEAD}'. Name the "
            "folder of a run or `res50_cam.pth`; weights of a backbone alone belong to cam.network.weights."
        )
    if head.ndim == 0 or len(head) != classes:
        raise BadFile(
            f"{path} classifies {len(head) if head.ndim else 0} classes, but the data set has {classes}. Use the file "
            "that was made for this data set."
        )
