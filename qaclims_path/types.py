"""Types that several rooms share. Torch is used in annotations only and never imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
        known: C, bool: whether it is known that the class is present or absent; all true by default. An unknown class
            is never marked present.
    """

    id: str
    image: "Tensor"
    present: "Tensor"
    mask: "Tensor | None" = None
    known: "Tensor" = field(default=None)  # type: ignore[assignment]  # replaced below, because it has the size of present

    def __post_init__(self) -> None:
        if self.known is None:
            object.__setattr__(self, "known", self.present.new_ones(self.present.shape))


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, in pixels of that level; `downsample` is level 0 pixels per pixel."""

    width: int
    height: int
    downsample: float


@dataclass(frozen=True)
class SlideInfo:
    """Metadata of a slide.

    Attributes:
        width: Width of level 0 in pixels.
        height: Height of level 0 in pixels.
        levels: Finest first.
        mpp: Pixel size of level 0 in micrometres (x, y), or None where the file gives none.
        power: Objective power, or None.
        background: Colour of the area that was not scanned.
        bounds: x, y, width, height of the scanned part in level 0 pixels.
        associated: Names of the label, macro and thumbnail pictures.
        backend: Name of the reader.
        vendor: Name of the format in the reader.
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
    """Methods of a slide library; `qaclims_path.slides.reader.Slide` is built on them."""

    @property
    def info(self) -> SlideInfo:
        """Metadata of the slide."""
        ...

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> "NDArray[np.uint8]":
        """Read H W 3 pixels of a level, in coordinates of that level; pixels outside have the background colour."""
        ...

    def associated(self, name: str) -> "NDArray[np.uint8]":
        """Read H W 3 pixels of a label, macro or thumbnail picture."""
        ...

    def close(self) -> None:
        """Close the file."""
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
        pixels: Reads the image: H W 3, uint8.
        label: Class of the card that the question is about.
        question: Text of the question with the name of the class.
        kind: Whether the question is about the class or about its surroundings.
        topic: Group of the question in its bank, such as `cells`; retrieval looks up terms by it.
        names: Names of the class, for answerers that look it up; its label alone where empty.
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
    """An answer; the score is a log probability or a cosine, depending on the answerer."""

    text: str
    score: float


class Answerer(Protocol):
    """Answers questions about images: a VQA model, a chat model, retrieval over a lexicon, or a file."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """Name, revision and all settings that change answers; part of the corpus."""
        ...

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answer in order; questions about one image are adjacent, so that it is read and encoded once."""
        ...


@dataclass(frozen=True)
class JudgeCard:
    """Facts about a judge.

    Attributes:
        id: A hub id, or the name of a local folder (never its path).
        revision: Commit on the hub, or a hash of the weights.
        family: Name of the code that loads it, such as `open_clip`.
        input_size: Side of its square input in pixels.
        mean: Mean of its training pixels, red green blue, in 0..1.
        std: Standard deviation of its training pixels, red green blue, in 0..1.
        width: Length of a feature vector.
        context: Longest text in tokens.
        temperature: Divisor of the cosines in its own training.
        mpp: Pixel size in micrometres that it was trained at, if known.
        trained_on: Description of the training data, if known.
        warning: Warning for users, such as that it is for demonstration only.
        demonstration: Made-up material that it learnt from, such as `painted tissue`; empty for real images.
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
    demonstration: str = ""


class Judge(Protocol):
    """A frozen vision-language model that compares regions and texts; gradients reach the maps."""

    @property
    def card(self) -> JudgeCard:
        """Facts about the judge."""
        ...

    @property
    def device(self) -> "torch.device":
        """Device of its weights."""
        ...

    def prepare(self, images: "Tensor") -> "Tensor":
        """Resize and normalise B 3 H W in 0..1 to B 3 S S, the input of the judge."""
        ...

    def encode_regions(self, prepared: "Tensor", maps: "Tensor", owner: "Tensor", *, outside: bool = False) -> "Tensor":
        """Encode P regions as P D unit vectors.

        Args:
            prepared: B 3 S S, from `prepare`.
            maps: P h w in 0..1, the regions.
            owner: P, the image of each region.
            outside: Encode the area outside the maps, which in some modes differs from encoding `1 - maps`.
        """
        ...

    def encode_images(self, prepared: "Tensor") -> "Tensor":
        """Encode whole images as B D unit vectors."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> "Tensor":
        """Encode texts as N D unit vectors, in order; long texts are cut with a warning that names them."""
        ...


@dataclass(frozen=True)
class PairTexts:
    """Texts of P (image, class) pairs as rows of one feature matrix.

    A list with a different number of answers for each pair is one vector, in the order of the pairs, and the pair that
    owns each value.

    Attributes:
        features: U D, float32 unit vectors, one row per unique text.
        label: P, row of the text of the class itself.
        foreground: F, rows of the answers about the class.
        foreground_owner: F, the pair of each of these.
        background: G, rows of the answers about its surroundings.
        background_owner: G, the pair of each of these.
    """

    features: "Tensor"
    label: "Tensor"
    foreground: "Tensor"
    foreground_owner: "Tensor"
    background: "Tensor"
    background_owner: "Tensor"
