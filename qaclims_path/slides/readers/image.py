"""Read plain pictures (PNG, JPEG, TIFF photographs) as slides with one level, held in memory."""

from pathlib import Path

from qaclims_path.errors import BadFile
from qaclims_path.files.images import read_image
from qaclims_path.slides.geometry import LevelRegion, Pixels, read_padded
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat
from qaclims_path.types import Level, SlideInfo


class ImageBackend:
    """A picture in memory. Its pixel size is unknown, because such files do not state it reliably."""

    def __init__(self, pixels: Pixels, path: str) -> None:
        self._pixels = pixels
        height, width = pixels.shape[:2]
        self.info = SlideInfo(
            path=path,
            width=width,
            height=height,
            levels=(Level(width, height, 1.0),),
            mpp=None,
            power=None,
            background=(255, 255, 255),
            bounds=(0, 0, width, height),
            associated=(),
            backend="image",
            vendor=Path(path).suffix.lstrip(".").lower() or "picture",
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a region (H W 3)."""
        return read_padded(
            self._cut, self.info.levels[level], LevelRegion(level, x, y, width, height), self.info.background
        )

    def associated(self, name: str) -> Pixels:
        """Raise KeyError: a plain picture has no associated pictures."""
        raise KeyError(name)

    def close(self) -> None:
        """Do nothing, because no file is open."""

    def _cut(self, x: int, y: int, width: int, height: int) -> Pixels:
        return self._pixels[y : y + height, x : x + width].copy()


@SLIDE_READERS.add("image")
def open_picture(path: str) -> ImageBackend:
    """Read a whole picture into memory."""
    try:
        return ImageBackend(read_image(Path(path)), path)
    except BadFile as error:
        raise UnsupportedFormat(f"Pillow says '{str(error).removeprefix(path).strip().rstrip('.')}'") from error
