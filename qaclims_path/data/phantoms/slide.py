"""A phantom slide, painted on demand: any region, at full detail, from a seed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.data.phantoms.layout import (
    BACKGROUND,
    DEAD,
    FAT,
    FOLD,
    LUMEN,
    NEST,
    STEP,
    TISSUE,
    lay_out,
    tilt_of,
    tissue_at,
)
from qaclims_path.data.phantoms.nuclei import REACH, scatter
from qaclims_path.data.phantoms.paint import develop, ground
from qaclims_path.data.phantoms.regions import CLASS_NAMES
from qaclims_path.data.phantoms.stain import Stain, key_of, stain_of
from qaclims_path.data.phantoms.textures import textures
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest

BLOCK = 512, 256  # pixels painted at a time, chosen to fit the processor's cache
MAX_SIDE = 200_000


@dataclass(frozen=True)
class PhantomSpec:
    """Everything that determines a slide: equal specs give equal pixels.

    Attributes:
        seed: Seed of the layout of tissues.
        width: Width in pixels.
        height: Height in pixels.
        mpp: Pixel size in um.
        patient: Name of the patient; determines the stain and, with the seed, the tissue.
        stain: One of `FAMILIES`, or None to choose one from the patient's name.
        without: Names of the classes that the slide does not have; others take their place, fat that of stroma.
    """

    seed: int
    width: int
    height: int
    mpp: float = 0.5
    patient: str = "FK-0001"
    stain: str | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = CLASS_NAMES[:BACKGROUND]
        for name in self.without:
            if name not in known:
                raise UsageError(f"The painter has no class '{name}'. {suggest(name, list(known))}")
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise UsageError(
                f"A phantom slide of {self.width} x {self.height} pixels cannot be made; sides are 1 to {MAX_SIDE}."
            )
        if not 0.1 <= self.mpp <= 8.0:
            raise UsageError(f"A pixel size of {self.mpp} um is not that of a microscope; choose 0.1 to 8.")


class PhantomSlide:
    """A slide whose regions are painted when they are read.

    Examples:
        >>> slide = PhantomSlide(PhantomSpec(seed=1, width=4096, height=4096))  # doctest: +SKIP
        >>> rgb, truth = slide.read(1000, 1000, 224, 224)  # doctest: +SKIP
    """

    def __init__(self, spec: PhantomSpec) -> None:
        self.spec = spec
        self.key = key_of("layout", spec.seed, spec.patient)
        self.camera = key_of("camera", spec.seed, spec.patient)

        angle = tilt_of(self.key)
        self.tilt = (float(np.cos(angle)), float(np.sin(angle)))

    @cached_property
    def stain(self) -> Stain:
        """The patient's stain."""
        return stain_of(self.spec.patient, self.spec.stain)

    def read(self, x: int, y: int, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Paint a region: colours (H W 3) and class codes (H W). Pixels do not depend on the extent of the region."""
        rgb = np.empty((height, width, 3), np.uint8)
        truth = np.empty((height, width), np.uint8)
        for top in range(0, height, BLOCK[1]):
            for left in range(0, width, BLOCK[0]):
                shape = min(BLOCK[1], height - top), min(BLOCK[0], width - left)
                block = np.s_[top : top + shape[0], left : left + shape[1]]
                rgb[block], truth[block] = self._paint(x + left, y + top, shape)
        return rgb, truth

    def codes(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Compute the class codes of a region at points `STEP` um apart, which is fast."""
        fields, _, _ = self._fields(x, y, (height, width), reach=0.0)
        return _codes(fields)

    def details(self, x: int, y: int, width: int, height: int) -> dict[str, float]:
        """Measure the shares of glass, fat, lumen and folds in a region, which the class codes do not show."""
        fields, _, _ = self._fields(x, y, (height, width), reach=0.0)
        glass = fields[..., TISSUE] < 0
        fat = ~glass & (fields[..., FAT] > 0)
        lumen = ~glass & ~fat & (fields[..., DEAD] <= 0) & (fields[..., NEST] > 0) & (fields[..., LUMEN] > 0)
        fold = ~glass & ~fat & ~lumen & (fields[..., FOLD] > 0)
        shares = {"glass": glass, "fat": fat, "lumen": lumen, "fold": fold}
        return {name: float(mask.mean()) for name, mask in shares.items()}

    def _paint(self, x: int, y: int, shape: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        texture = textures()
        fields, column, row = self._fields(x, y, shape, REACH + STEP)
        origin = (x, y, column, row, self.spec.mpp)
        truth = np.empty(shape, np.uint8)
        planes = np.empty((4, *shape), np.float32)
        ground(planes, truth, fields, origin, self.key, texture, self.tilt)
        scatter(planes, fields, origin, self.key, texture, self.stain.size)
        return develop(planes, self.stain.dyes, self.stain.light, (x, y), self.camera), truth

    def _fields(self, x: int, y: int, shape: tuple[int, int], reach: float) -> tuple[NDArray[np.float32], int, int]:
        """Return the layout around a region, and its first column and row in grid points."""
        mpp = self.spec.mpp
        column, row = int((x * mpp - reach) // STEP), int((y * mpp - reach) // STEP)
        columns = int(((x + shape[1]) * mpp + reach) // STEP) + 2 - column
        rows = int(((y + shape[0]) * mpp + reach) // STEP) + 2 - row
        size = (self.spec.width * mpp, self.spec.height * mpp)
        without = sum(1 << CLASS_NAMES.index(name) for name in set(self.spec.without))
        return lay_out(self.key, (column, row), (rows, columns), size, without), column, row


def paint_slide(
    seed: int, size: tuple[int, int], mpp: float = 0.5, patient: str = "FK-0001", stain: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint a whole small slide of (width, height) pixels: colours (H W 3) and class codes (H W)."""
    slide = PhantomSlide(PhantomSpec(seed, size[0], size[1], mpp, patient, stain))
    return slide.read(0, 0, *size)


@njit(cache=True)
def _codes(fields: NDArray[np.float32]) -> NDArray[np.uint8]:
    rows, columns = fields.shape[0], fields.shape[1]
    codes = np.empty((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            codes[row, column] = tissue_at(fields[row, column], 0.0)
    return codes
