"""Refiners turn the maps of the present classes into masks, on a CPU or a GPU.

A refiner gets a batch of images of one size with up to K maps each. Its labels are map indices: 0..K-1, and K for
background; it does not know classes. Another package adds one through the entry points `qaclims_path.refiners`: a
function from `RefineSettings` to a `Refiner`.

May import compute, registry, types and errors; the files of the refiners import torch, this one does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from qaclims_path.compute.refiners.crf_settings import LABEL_STEP, CrfSettings
from qaclims_path.errors import UsageError
from qaclims_path.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Refined(NamedTuple):
    """Masks of a batch.

    Attributes:
        labels: B H W, uint8: map index, K for background.
        confidence: B H W, float32 in 0..1.
        doubt: B H W, bool: pixels to ignore in training.
    """

    labels: "Tensor"
    confidence: "Tensor"
    doubt: "Tensor"


class Refiner(Protocol):
    """Turns maps into masks."""

    def __call__(self, images: "Tensor", maps: "Tensor", present: "Tensor") -> Refined:
        """Refine a batch on its device.

        Args:
            images: B 3 H W in 0..1.
            maps: B K h w in 0..1, one per present class; h w may be smaller than H W.
            present: B K, bool; False for the maps of an image with fewer than K classes, which are zero.
        """
        ...


@dataclass(frozen=True)
class RefineSettings:
    """Settings of all refiners; each uses its own.

    Attributes:
        threshold: A pixel is background if no map exceeds it; None for data without background.
        band: Lower and upper threshold between which a pixel is in doubt.
        rounds: Iterations of pixel-adaptive refinement.
        unary: Unary energies of the dense CRF: from hard labels, as published for masks, or from the maps.
        certainty: Probability of a hard label in the dense CRF.
        crf: Iterations and kernels of the dense CRF.
        threads: Images that the dense CRF processes at once.
        radius: Radius of the random walk, in cells of 4 pixels.
        beta: Exponent of the affinities of the random walk.
        doublings: The random walk has 2 to this power steps.
        edges: Function from B 3 H W images in 0..1 to boundaries B h w at a quarter of their size; for `irn`.
    """

    threshold: float | None = None
    band: tuple[float, float] | None = None
    rounds: int = 10
    unary: Literal["labels", "maps"] = "labels"
    certainty: float = 0.7
    crf: CrfSettings = LABEL_STEP
    threads: int = 1
    radius: int = 5
    beta: float = 10.0
    doublings: int = 8
    edges: "Callable[[Tensor], Tensor] | None" = None


REFINERS: Registry[Callable[[RefineSettings], Refiner]] = Registry(
    "refiner",
    "qaclims_path.refiners",
    {
        **dict.fromkeys(("none", "par"), f"{__name__}.pixels"),
        "irn": f"{__name__}.walk",
        "crf": f"{__name__}.crf",
    },
)


def build_refiner(name: str, settings: RefineSettings) -> Refiner:
    """Build a registered refiner.

    Examples:
        >>> build_refiner("none", RefineSettings(threshold=0.3))
        <function ...>
    """
    check_band(settings.band, settings.threshold)
    return REFINERS[name](settings)


def check_band(band: tuple[float, float] | None, threshold: float | None) -> None:
    """Refuse a band of doubt that does not contain the threshold."""
    if band is not None and threshold is None:
        raise UsageError(
            "A band of doubt lies around the background threshold, but these data have no background. Leave it out."
        )
    if band is not None and threshold is not None and not band[0] <= threshold <= band[1]:
        raise UsageError(f"The threshold {threshold:g} must lie in its band of doubt, {band[0]:g} to {band[1]:g}.")
