"""A protocol says exactly how a number is computed. Protocols are data: `configs/protocols/*.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.assets import asset_dir
from qaclims_path.config import Options, load_tree, parse
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

GateKind = Literal["none", "oracle", "predicted"]


class Gate(Options):
    """Which classes a prediction may use per image.

    Attributes:
        kind: What the published numbers of this protocol used.
        threshold: A class is allowed when its predicted probability is above this.
        keep_highest: Whether the most probable class is allowed even below the threshold.
    """

    kind: GateKind
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    keep_highest: bool = True


class Protocol(Options):
    """How truth and prediction become a number.

    Attributes:
        background: Truth pixels of background are left out (`ignore`), are a class like the others (`score`), or count
            as errors of whatever class is predicted there without being averaged (`penalise`).
        predict_background: Whether class scores without a background channel may yield background at all.
        map_threshold: Background is predicted where no class score is above this (maps without a background channel).
        background_power: Background's score is `(1 - highest class score) ** power`, instead of a threshold.
        mean_over: Classes of the headline means; all scored ones when empty.
        foreground: Whether any class against background is reported beside.
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
    """Names of all protocols."""
    return sorted(path.stem for path in (asset_dir("configs") / "protocols").glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """Read a protocol by name."""
    if name not in protocol_names():
        raise UsageError(f"There is no protocol '{name}'. {suggest(name, protocol_names())}")
    folder = asset_dir("configs") / "protocols"
    path = folder / f"{name}.yaml"
    return parse(Protocol, load_tree(path, lambda base, _: folder / f"{base}.yaml"), path.name)
