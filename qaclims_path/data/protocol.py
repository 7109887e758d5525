"""Evaluation protocols: exactly how scores are computed. Protocols are YAML files in `configs/protocols`."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.assets import asset_dir
from qaclims_path.config import Options, load_tree, parse
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

GateKind = Literal["none", "oracle", "predicted"]


class Gate(Options):
    """Choice of the classes that a prediction may use per image.

    Attributes:
        kind: Gate of the published scores.
        threshold: Predicted probability above which a class is allowed.
        keep_highest: Whether the most probable class is always allowed.
    """

    kind: GateKind
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    keep_highest: bool = True


class Protocol(Options):
    """Rules for computing scores from truth and prediction.

    Attributes:
        background: Background pixels of the truth are ignored (`ignore`), form a class (`score`), or count as false
            positives of the class predicted there, without a class of their own (`penalise`).
        predict_background: Whether background is predicted from class scores without a background channel.
        map_threshold: Background is predicted where no class score is above this (maps without a background channel).
        background_power: Score of background is `(1 - highest class score) ** power`; replaces the threshold.
        mean_over: Classes of the reported means; empty means all scored classes.
        foreground: Whether scores of foreground (all classes together) are reported too.
        boundary_width: Width of the band of boundary IoU, as a share of the image diagonal.
    """

    name: str
    title: str
    background: Literal["ignore", "score", "penalise"]
    predict_background: bool = False
    map_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    background_power: Annotated[float, Field(gt=0)] | None = None
    gate: Gate
    mean_over: tuple[str, ...] = ()
    foreground: bool = False
    boundary_width: Annotated[float, Field(gt=0, le=0.2)] = 0.02
    source: str
    notes: tuple[str, ...] = ()


def protocol_names() -> list[str]:
    """List the names of all protocols."""
    return sorted(path.stem for path in (asset_dir("configs") / "protocols").glob("*.yaml"))


def ignores_background(name: str) -> bool:
    """Return whether a protocol leaves background of the truth out; False for one of another version."""
    return name in protocol_names() and load_protocol(name).background == "ignore"


def load_protocol(name: str) -> Protocol:
    """Load a protocol by name."""
    if name not in protocol_names():
        raise UsageError(f"There is no protocol '{name}'. {suggest(name, protocol_names())}")
    folder = asset_dir("configs") / "protocols"
    path = folder / f"{name}.yaml"
    return parse(Protocol, load_tree(path, lambda base, _: folder / f"{base}.yaml"), path.name)
