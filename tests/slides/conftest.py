"""Write small slides as the test needs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

APERIO = "Aperio Image Library v1.0\r\n{size} (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5000"


@pytest.fixture(scope="session")
def tissue_like() -> Callable[[int, int], NDArray[np.uint8]]:
    """Make an image (height width 3) of smooth colours with noise, in which a shift by one pixel is noticed."""

    def make(height: int, width: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        noise = np.random.default_rng(7).normal(0, 12, (height, width, 3))
        waves = [128 + 90 * np.sin(x / a + y / b) for a, b in ((17, 31), (41, -23), (-29, 13))]
        return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)

    return make


@pytest.fixture
def write_tiff(tmp_path: Path) -> Callable[..., Path]:
    """Write levels (finest first) as a tiled pyramid; options are tifffile's."""

    def write(
        levels: list[NDArray[np.uint8]], name: str = "slide.tiff", mpp: float | None = 0.5, **options: Any
    ) -> Path:
        given: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None, **options}
        whole = {key: given.pop(key, None) for key in ("byteorder", "bigtiff")}
        with tifffile.TiffWriter(tmp_path / name, **whole) as tiff:
            for number, pixels in enumerate(levels):
                per_cm = None if mpp is None else (1e4 / mpp * pixels.shape[1] / levels[0].shape[1],) * 2
                size = {} if per_cm is None else {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
                tiff.write(pixels, subfiletype=1 if number else 0, **size, **given)
        return tmp_path / name

    return write


@pytest.fixture
def write_svs(tmp_path: Path) -> Callable[..., Path]:
    """Write a slide laid out as Aperio does: level 0, thumbnail in strips, more levels, label."""

    def write(levels: list[NDArray[np.uint8]], name: str = "slide.svs", **options: Any) -> Path:
        given: dict[str, Any] = {
            "tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None,
            "compressionargs": {"level": 90, "outcolorspace": "rgb"}, **options,
        }  # fmt: skip
        about = APERIO.format(size=f"{levels[0].shape[1]}x{levels[0].shape[0]}")
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            tiff.write(levels[0], description=about, **given)
            tiff.write(levels[0][::8, ::8], description=about, photometric="rgb", metadata=None)
            for pixels in levels[1:]:
                tiff.write(pixels, description=about, **given)
            label = np.full((20, 30, 3), 90, np.uint8)
            tiff.write(label, description="Aperio\r\nlabel 30x20", subfiletype=1, photometric="rgb", metadata=None)
        return tmp_path / name

    return write
