"""The few nouns that several rooms share. Torch is only named here, never imported."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
