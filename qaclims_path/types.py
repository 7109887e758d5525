"""The few nouns that several rooms share. Torch is only named here, never imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One image with the classes present in it, and its mask only where the split may show one.

    Attributes:
        id: Name of the image inside its split, without suffix.
        image: 3 H W, float32 in 0..1.
        present: C, bool: the image-level label in the card's class order.
        mask: H W, uint8 label indices of the card (classes, then background; 255 is ignored), or None.
    """

    id: str
    image: "Tensor"
    present: "Tensor"
    mask: "Tensor | None" = None


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, in pixels of that level; `downsample` is level 0 pixels per pixel."""

    width: int
    height: int
    downsample: float


@dataclass(frozen=True)
class SlideInfo:
    """What a slide says of itself.

    Attributes:
        width: Of level 0 in pixels.
        height: Of level 0 in pixels.
        levels: Finest first.
        mpp: Pixel size of level 0 in micrometres (x, y), or None where the file does not say.
        power: Objective power, where the file says.
        background: Colour of what was not scanned.
        bounds: x, y, width, height of the scanned part in level 0 pixels.
        associated: Names of the label, macro and thumbnail pictures.
        backend: Which reader opened it.
        vendor: Format as the reader calls it.
    """

    path: str
    width: int
    height: int
    levels: tuple[Level, ...]
    mpp: tuple[float, float] | None
    power: float | None
    background: tuple[int, int, int]
    bounds: tuple[int, int, int, int]
    associated: tuple[str, ...]
    backend: str
    vendor: str


class Backend(Protocol):
    """What a slide library has to offer; `qaclims_path.slides.reader.Slide` does the rest."""

    @property
    def info(self) -> SlideInfo:
        """What the slide says of itself."""
        ...

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> "NDArray[np.uint8]":
        """H W 3 pixels of a level, in that level's coordinates; whatever lies outside has the background colour."""
        ...

    def associated(self, name: str) -> "NDArray[np.uint8]":
        """H W 3 pixels of a label, macro or thumbnail picture."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one slide, in row order.

    Attributes:
        x: N, left edges in level 0 pixels.
        y: N, top edges in level 0 pixels.
        width0: Level 0 pixels that a tile covers from left to right.
        height0: Level 0 pixels that a tile covers from top to bottom.
        size: Width and height of a tile in pixels as it is read.
        mpp: Pixel size of a tile as it is read, in micrometres.
        tissue: N, share of the tile that is tissue, 0..1.
    """

    x: "NDArray[np.int64]"
    y: "NDArray[np.int64]"
    width0: int
    height0: int
    size: int
    mpp: float
    tissue: "NDArray[np.float32]"

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Ask:
    """One question about one image.

    Attributes:
        image: Id of the image.
        pixels: Reads the image when it is needed: H W 3, uint8.
        label: Class of the card that the question is about.
        question: The words, with the class already in them.
        kind: Whether it asks what the class looks like or what is around it.
        topic: Group of the question in its bank, such as `cells`; retrieval looks up terms by it.
        names: All that the class is called, for answerers that look it up; its label alone where empty.
    """

    image: str
    pixels: "Callable[[], NDArray[np.uint8]]"
    label: str
    question: str
    kind: Literal["foreground", "background"]
    topic: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What an answerer says; the score is a log probability or a cosine, as its answerer explains."""

    text: str
    score: float


class Answerer(Protocol):
    """Whatever answers questions about images: a VQA model, a chat model, retrieval over a lexicon, a file."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """Name, revision and whatever else tells two answerers apart; part of the corpus."""
        ...

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answer in order; asks of one image stand together, so that it is read and encoded once."""
        ...


@dataclass(frozen=True)
class JudgeCard:
    """What is to be known of a judge.

    Attributes:
        id: As it was asked for: a hub id, or the name of a local folder (never its path).
        revision: Commit on the hub, or a hash of the weights.
        family: Which code loads it, such as `open_clip`.
        input_size: Side of the square that it looks at, in pixels.
        mean: Of its pixels, red green blue, in 0..1.
        std: Of its pixels, red green blue, in 0..1.
        width: Length of a feature vector.
        context: Longest text in tokens.
        temperature: What its cosines were divided by in its own training.
        mpp: Pixel size it was trained at in micrometres, where it says.
        trained_on: In words, where it says.
        warning: What everybody who uses it should be told, such as that it is for demonstration only.
    """

    id: str
    revision: str
    family: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    width: int
    context: int
    temperature: float
    mpp: float | None = None
    trained_on: str = ""
    warning: str = ""


class Judge(Protocol):
    """A frozen vision-language model that compares regions and texts; gradients reach the maps."""

    @property
    def card(self) -> JudgeCard:
        """What it is."""
        ...

    @property
    def device(self) -> "torch.device":
        """Where it computes."""
        ...

    def prepare(self, images: "Tensor") -> "Tensor":
        """B 3 H W in 0..1 to B 3 S S as the judge likes its pixels: resized and normalised."""
        ...

    def encode_regions(self, prepared: "Tensor", maps: "Tensor", owner: "Tensor", *, outside: bool = False) -> "Tensor":
        """P D unit vectors of P regions: maps P h w in 0..1, seen through image `owner[p]` of the prepared B 3 S S.

        With `outside` it is what the maps leave over, which is not the same as their complement in every mode.
        """
        ...

    def encode_images(self, prepared: "Tensor") -> "Tensor":
        """B D unit vectors of whole images."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        """N D unit vectors, in order; texts that are too long are cut with a warning that names them."""
        ...


@dataclass(frozen=True)
class PairTexts:
    """Texts of P (image, class) pairs as rows of one feature matrix; ragged lists are CSR.

    Attributes:
        features: U D, float32 unit vectors, one row per unique text.
        label: P, row of the class's own text.
        foreground: F, rows of what was answered about the class.
        foreground_offsets: P+1, pair p owns `foreground[offsets[p]:offsets[p + 1]]`.
        background: G, rows of what surrounds it.
        background_offsets: P+1.
    """

    features: "Tensor"
    label: "Tensor"
    foreground: "Tensor"
    foreground_offsets: "Tensor"
    background: "Tensor"
    background_offsets: "Tensor"
