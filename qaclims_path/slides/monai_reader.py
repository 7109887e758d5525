"""A MONAI whole-slide reader over any of our backends, at any pixel size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data.wsi_reader import BaseWSIReader
from monai.utils.enums import WSIPatchKeys
from numpy.typing import DTypeLike, NDArray

from qaclims_path.errors import UsageError
from qaclims_path.slides.geometry import best_level
from qaclims_path.slides.reader import Slide, open_slide

SUFFIXES = ["svs", "tif", "tiff", "ndpi", "mrxs", "scn", "bif", "vms", "vmu", "dcm", "svslide", "png", "jpg", "jpeg"]

Pair = tuple[float, float]


class SlideWSIReader(BaseWSIReader):
    """A `monai.data.WSIReader` with our backends, for `reader=` of MONAI's data sets and `LoadImaged`.

    `mpp` may be any pixel size: the next finer level is read and resampled. Pixels outside the slide have the
    background colour. As everywhere in MONAI, pairs are (row, column): `location` in level 0 pixels, `size` in pixels
    of the result, `mpp` in micrometres.

    Examples:
        >>> reader = SlideWSIReader("tiff")  # doctest: +SKIP
        >>> slide = reader.read("case-1.svs")  # doctest: +SKIP
        >>> pixels, metadata = reader.get_data(slide, (4000, 8000), (224, 224), mpp=0.5)  # doctest: +SKIP

    Args:
        backend: Name of a slide reader, or `auto`.
        slide_mpp: Pixel size of level 0 in micrometres; overrides that of the file.
        options: Options of `monai.data.BaseWSIReader`: level, mpp, power, channel_dim, dtype, device, mode.
    """

    supported_suffixes = SUFFIXES

    def __init__(self, backend: str = "auto", slide_mpp: float | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        # MONAI's data sets open the slide again for every patch if this attribute is "openslide"
        self.backend = f"qaclims-{backend}"
        self._reader = backend
        self._slide_mpp = slide_mpp

    def read(self, data: Any, **_: Any) -> Slide | list[Slide]:  # noqa: ANN401 - a path or several
        """Open one slide or several."""
        if isinstance(data, Sequence) and not isinstance(data, str):
            return [open_slide(path, backend=self._reader, mpp=self._slide_mpp) for path in data]
        return open_slide(data, backend=self._reader, mpp=self._slide_mpp)

    def get_data(
        self,
        wsi: Slide | Sequence[Slide],
        location: tuple[int, int] = (0, 0),
        size: tuple[int, int] | None = None,
        level: int | None = None,
        mpp: float | Pair | None = None,
        power: float | None = None,
        mode: str | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Read a region of one slide, or the same region of several and stack the results.

        Level, pixel size and magnification exclude each other; default is that of the reader, else level 0.

        Args:
            wsi: An open slide, or several.
            location: Row and column of the top left corner in level 0 pixels.
            size: Height and width in pixels of the result; default the whole slide.
            level: Index of the level.
            mpp: Micrometres per pixel, one number or (row, column).
            power: Magnification.
            mode: `RGB` or `RGBA`.
        """
        slides = [wsi] if isinstance(wsi, Slide) else list(wsi)
        resolution = (level, mpp, power)
        if all(value is None for value in resolution):
            resolution = (self.level, self.mpp, self.power)
        if sum(value is not None for value in resolution) > 1:
            raise UsageError("Give only one of level, mpp and power.")
        patches, metadata = [], []
        for slide in slides:
            step = self._step(slide, *resolution)
            shape = size or _full_size(slide, step)
            patch = self._converted(slide.read_by_step(location[1], location[0], (shape[1], shape[0]), step), mode)
            patches.append(patch)
            read_level = best_level(slide.info.levels, step)
            metadata.append(self._get_metadata(slide, patch, location, shape, read_level))
        if len(slides) == 1:
            return patches[0], metadata[0]
        if len({patch.shape for patch in patches}) > 1:
            raise UsageError("Slides of different sizes cannot be stacked; give a size.")
        joined = {**metadata[-1], **{key.value: [one[key.value] for one in metadata] for key in WSIPatchKeys}}
        return self._stacked(patches), joined

    def get_wsi_at_mpp(self, wsi: Slide, mpp: float | Pair, **_: float) -> NDArray[np.generic]:
        """Read the whole slide (H W 3) at a pixel size in micrometres, one number or (row, column)."""
        step = self._step(wsi, None, mpp, None)
        height, width = _full_size(wsi, step)
        return wsi.read_by_step(0, 0, (width, height), step)

    def get_size(self, wsi: Slide, level: int) -> tuple[int, int]:
        """Return the height and width of a level."""
        return wsi.info.levels[level].height, wsi.info.levels[level].width

    def get_level_count(self, wsi: Slide) -> int:
        """Return the number of levels."""
        return len(wsi.info.levels)

    def get_downsample_ratio(self, wsi: Slide, level: int) -> float:
        """Return the level 0 pixels per pixel of a level."""
        return wsi.info.levels[level].downsample

    def get_file_path(self, wsi: Slide) -> str:
        """Return the path of the slide."""
        return wsi.info.path

    def get_mpp(self, wsi: Slide, level: int) -> Pair:
        """Pixel size of a level in micrometres, (row, column)."""
        downsample = wsi.info.levels[level].downsample
        return wsi.mpp[1] * downsample, wsi.mpp[0] * downsample

    def get_power(self, wsi: Slide, level: int) -> float:
        """Return the magnification of a level."""
        if wsi.info.power is None:
            raise UsageError(f"{wsi.info.path} does not say its magnification. Give a pixel size with mpp instead.")
        return wsi.info.power / wsi.info.levels[level].downsample

    def _get_patch(  # type: ignore[override]  # MONAI does not export the name of the type
        self, wsi: Slide, location: tuple[int, int], size: tuple[int, int], level: int, dtype: DTypeLike, mode: str
    ) -> NDArray[np.generic]:
        step = self._step(wsi, level, None, None)
        patch = wsi.read_by_step(location[1], location[0], (size[1], size[0]), step)
        return np.asarray(self._converted(patch, mode), dtype)

    def _step(self, slide: Slide, level: int | None, mpp: float | Pair | None, power: float | None) -> Pair:
        """Return the level 0 pixels per pixel of the result, (x, y)."""
        if mpp is not None:
            row, column = mpp if isinstance(mpp, tuple) else (mpp, mpp)
            return slide.steps((column, row))
        if power is not None:
            step = self.get_power(slide, 0) / power
            return step, step
        if not 0 <= (level or 0) < len(slide.info.levels):
            raise UsageError(f"{slide.info.path} has levels 0 to {len(slide.info.levels) - 1}, not {level}.")
        downsample = slide.info.levels[level or 0].downsample
        return downsample, downsample

    def _converted(self, pixels: NDArray[np.uint8], mode: str | None) -> Any:  # noqa: ANN401 - array or tensor
        """Convert H W 3 bytes to the mode, channel order, data type and device of the options."""
        mode = mode or self.mode
        if mode not in ("RGB", "RGBA"):
            raise UsageError(f"Slides are read as RGB or RGBA, not {mode}.")
        if mode == "RGBA":
            pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        array = np.moveaxis(pixels, -1, self.channel_dim)
        if isinstance(self.dtype, torch.dtype) or self.device is not None:
            dtype = self.dtype if isinstance(self.dtype, torch.dtype) else None
            return torch.tensor(np.ascontiguousarray(array), dtype=dtype, device=self.device)
        return array.astype(self.dtype)

    def _stacked(self, patches: list[Any]) -> Any:  # noqa: ANN401 - as above
        return torch.stack(patches) if isinstance(patches[0], torch.Tensor) else np.stack(patches)


def _full_size(slide: Slide, step: Pair) -> tuple[int, int]:
    """Return the height and width of the whole slide, for `step` (x, y) level 0 pixels per pixel."""
    return max(1, round(slide.info.height / step[1])), max(1, round(slide.info.width / step[0]))
