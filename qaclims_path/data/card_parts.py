"""The parts of a data set card: classes, background, splits and published results."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from qaclims_path.config import Options

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^,;/\\\x00-\x1f]+$")]
Channel = Annotated[int, Field(ge=0, le=255)]
Color = tuple[Channel, Channel, Channel]
Spellings = tuple[str, ...]
Percent = Annotated[float, Field(ge=0, le=100)]


class ClassInfo(Options):
    """One class: its names in files, tables and prompts, and its colour."""

    name: Name
    display: str = ""
    color: Color
    synonyms: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    definition: str = ""

    @property
    def title(self) -> str:
        """Name for tables and pictures."""
        return self.display or self.name


class Background(Options):
    """Name and colour of pixels that belong to no class."""

    display: str = "background"
    color: Color = (0, 0, 0)


class Split(Options):
    """Folders and files of one split. Paths are lists of the spellings that copies of the data set use.

    Attributes:
        part: Whether the images are for training, validation or test; no patient may be in two parts.
        supervision: `labels` if the split trains on image-level labels (its masks are never opened), else `masks`.
        images: Folder of the images.
        masks: Folder of the masks.
        background_masks: Folder of masks whose non-zero pixels are background.
        labels_from: `name` (bits in the file name), `table` (CSV or npy), `annotations` (XML or JSON), or `masks`.
        labels: File with the image-level labels, if any.
        list: File that lists the images of the split, one per line; a CSV has one per row.
        match: Regular expression that the file names of the split match.
        mask_name: File name of a mask; `{stem}` stands for the image's name without suffix.
        count: Published number of images.
        supervised: Whether its masks are only for rows that say that they are supervised.
        fake_name: File name of fake images; `{i}`, `{patient}`, `{x}`, `{y}` and `{bits}` are filled in.
    """

    part: Literal["train", "val", "test"]
    supervision: Literal["labels", "masks"]
    images: Spellings
    masks: Spellings = ()
    background_masks: Spellings = ()
    labels_from: Literal["name", "table", "annotations", "masks"]
    labels: Spellings = ()
    list: Spellings = ()
    match: str = ""
    mask_name: str = "{stem}.png"
    count: Annotated[int, Field(ge=1)] | None = None
    supervised: bool = False
    fake_name: str = "image_{i:03d}.png"
    note: str = ""

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return check_pattern(pattern)

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        if self.supervision == "labels" and self.labels_from == "masks":
            raise ValueError("a split that trains on image labels cannot take them from masks")
        return self


class Published(Options):
    """One published row, and how its scores were computed. Scores are in percent.

    Attributes:
        split: Split of the card, or another name if the row was computed on images that the card does not describe.
        what: Scored output: activation maps, pseudo masks or predictions of a segmenter.
        protocol: Name of a protocol, or `unknown`; an unknown row is listed, but never compared with our scores.
        dice_made: Whether Dice is the mean over classes or was computed from the mean IoU.
        per_class: IoU by class name.
    """

    method: str
    source: str
    split: str = "test"
    what: Literal["cams", "masks", "seg"] = "seg"
    protocol: str
    gate: Literal["none", "oracle", "predicted", "unknown"]
    miou: Percent | None = None
    miou_std: Percent | None = None
    fwiou: Percent | None = None
    dice: Percent | None = None
    dice_made: Literal["per_class_mean", "from_miou", "unknown"] = "unknown"
    per_class: dict[str, Percent] = Field(default_factory=dict)
    note: str = ""


def check_pattern(pattern: str) -> str:
    """Refuse a regular expression that does not compile."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
    return pattern
