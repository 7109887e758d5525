"""What there is to know of a segmenter beside its weights, as the JSON file beside them has it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile
from qaclims_path.models.backbones import BackboneSpec

SCHEMA = 1
LIBRARY = "qaclims_path"
SETTINGS, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
BACKGROUND = "background"


@dataclass(frozen=True)
class Channel:
    """One class that a segmenter tells apart.

    Attributes:
        name: As on the card of the data set, or `background`.
        display: For people.
        color: Red green blue, 0..255.
        code: Of its pixels in label maps of the data set.
    """

    name: str
    display: str
    color: tuple[int, int, int]
    code: int


@dataclass(frozen=True)
class SegmenterSpec:
    """Everything that is needed to build a segmenter again and to know what it says.

    Attributes:
        architecture: A name of the registry.
        encoder: BackboneSpec of the timm encoder, with mean and standard deviation of the pixels.
        channels: In label order, background last where it is a class.
        settings: Of the architecture.
        mpp: Pixel size that it was trained at, in micrometres, where it is known.
        about: For people: `dataset`, `title`, `domain`, `licence`, `citation`, `protocol`, `method`, `trained_on`,
            `size` (side of a crop in pixels), `notes`, and `scores`, a list with `split`, `protocol`, `gate`, `images`,
            `miou`, `miou_interval`, `mean_dice` and `per_class` (IoU by name).
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

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        tree = asdict(self)
        return {"schema": SCHEMA, "library": LIBRARY, **tree}


def read_spec(folder: Path) -> SegmenterSpec:
    """Read the settings in the folder of a segmenter."""
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadFile(
            f"{folder} holds no segmenter ({SETTINGS}). Train one with `qaclims train seg`, or give the "
            "folder of a run."
        ) from error
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Copy it again.") from error
    if not isinstance(found, dict) or found.get("library") != LIBRARY:
        raise BadFile(f"{path} is not of a segmenter of {LIBRARY}. Give a model made by `qaclims train seg`.")
    if found.get("schema") != SCHEMA:
        raise BadFile(f"{path} has schema {found.get('schema')}, but this version reads {SCHEMA}. Update {LIBRARY}.")
    try:
        channels = tuple(
            Channel(each["name"], each["display"], (*map(int, each["color"]),), int(each["code"]))  # type: ignore[arg-type]
            for each in found["channels"]
        )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found["encoder"].items()}
        encoder = BackboneSpec(**values)
        return SegmenterSpec(
            str(found["architecture"]), encoder, channels, found["settings"], found["mpp"], dict(found["about"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is damaged: {error!r}. Copy it again.") from error
