"""The few nouns that several rooms share. Torch is only named here, never imported."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
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
