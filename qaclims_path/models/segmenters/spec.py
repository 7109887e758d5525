"""Spec of a segmenter: everything about it except its weights, saved as JSON beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import resolve
from qaclims_path.models.names import BackboneSpec

SCHEMA = 1
LIBRARY = "qaclims_path"
SETTINGS, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
SUBFOLDER = "seg"  # for a segmenter in the folder of a run
BACKGROUND = "background"
DEMONSTRATION = "Demonstration model"


@dataclass(frozen=True)
class Channel:
    """One output channel of a segmenter: a class or background.

    Attributes:
        name: Class name on the data set's card, or `background`.
        display: Name for people.
        color: Red green blue, 0..255.
        code: Code of the class in label maps of the data set.
    """

    name: str
    display: str
    color: tuple[int, int, int]
    code: int


@dataclass(frozen=True)
class SegmenterSpec:
    """Everything needed to build a segmenter and to interpret its output.

    Attributes:
        architecture: Name in the registry.
        encoder: Spec of the timm encoder, with mean and standard deviation of the pixels.
        channels: Output channels in label order; background is the last, if it is a class.
        settings: Settings of the architecture.
        mpp: Pixel size of the training images in micrometres, if known.
        about: Facts for people: `dataset`, `title`, `domain`, `licence`, `citation`, `protocol`, `method`,
            `trained_on`, `organ`, `stain`, `size` (side of a training crop in pixels), `demonstration` (made-up
            material that it learnt from), `supervised` (sentence on true masks of training images), `notes`, and
            `scores`, a list with `split`, `protocol`, `gate`, `crf`, `images`, `miou`, `miou_interval`, `mean_dice` and
            `per_class` (IoU by name).
    """

    architecture: str
    encoder: BackboneSpec
    channels: tuple[Channel, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    mpp: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in label order, without background."""
        return tuple(channel.name for channel in self.channels if channel.name != BACKGROUND)

    @property
    def has_background(self) -> bool:
        """Whether background is a class."""
        return any(channel.name == BACKGROUND for channel in self.channels)

    @property
    def warning(self) -> str:
        """Sentences that say that it is for demonstration only; empty for a segmenter that learnt from real images."""
        return warning_of(str(self.about.get("demonstration", "")))

    def as_json(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        tree = asdict(self)
        return {"schema": SCHEMA, "library": LIBRARY, **tree}


def warning_of(made_up: str) -> str:
    """Warn of a model that learnt from made-up material, such as `painted tissue`; empty for real images."""
    return f"{DEMONSTRATION}: it learnt from {made_up}. Do not rely on what it says." if made_up else ""


def read_spec(folder: Path) -> SegmenterSpec:
    """Read the spec in the folder of a segmenter."""
    path = folder / SETTINGS
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadFile(
            f"{folder} holds no segmenter ({SETTINGS}). Train one with `qaclims train seg`, or give the "
            "folder of a run."
        ) from error
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Copy it again.") from error
    if not isinstance(tree, dict) or tree.get("library") != LIBRARY:
        raise BadFile(f"{path} does not belong to a segmenter of {LIBRARY}. Give a model made by `qaclims train seg`.")
    if tree.get("schema") != SCHEMA:
        raise BadFile(f"{path} has schema {tree.get('schema')}, but this version reads {SCHEMA}. Update {LIBRARY}.")
    try:
        channels = tuple(
            Channel(each["name"], each["display"], (*map(int, each["color"]),), int(each["code"]))  # type: ignore[arg-type]
            for each in tree["channels"]
        )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in tree["encoder"].items()}
        encoder = BackboneSpec(**values)
        return SegmenterSpec(
            str(tree["architecture"]), encoder, channels, tree["settings"], tree["mpp"], dict(tree["about"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is damaged: {error!r}. Copy it again.") from error


def segmenter_in(run: Path) -> SegmenterSpec:
    """Read the spec of the segmenter in the folder of a run or of a segmenter; nothing is looked for on the hub."""
    if not run.is_dir():
        raise UsageError(f"{run} is no folder. Give the folder of a run.")
    return read_spec(find_segmenter(run))


def check_classes(spec: SegmenterSpec, classes: Sequence[str] | None, model: object) -> None:
    """Refuse a segmenter whose classes differ from the given ones; None allows any."""
    if classes is not None and tuple(classes) != spec.classes:
        raise UsageError(
            f"{model} was trained for the classes {', '.join(spec.classes)}, not {', '.join(classes)}. "
            "Use the data set that it was trained on, or train again."
        )


def find_segmenter(model: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a segmenter: the folder itself, `seg/` in the folder of a run, or the hub's cache."""
    folder = Path(model)
    if (folder / SUBFOLDER / SETTINGS).is_file() and not (folder / SETTINGS).is_file():
        return folder / SUBFOLDER
    if folder.is_dir():
        return folder
    return resolve(str(model), revision=revision, files=("*.safetensors", "*.json"))
