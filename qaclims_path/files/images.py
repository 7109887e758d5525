"""Read pictures and label masks: sizes are checked before decoding, and every defect is one sentence."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import atomic_path

MAX_PIXELS = 400_000_000  # 20 000 squared; more is a slide and goes through the slide readers
INDEX_MODES = ("P", "L", "1")
STRETCHED = {"L;2": 85, "L;4": 17}  # Pillow spreads grey values of 2 and 4 bits over 0..255; codes must not be
END_OF_JPEG = b"\xff\xd9"
TIFF_SUFFIXES = (".tif", ".tiff")


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height in pixels from the header, without decoding."""
    with _opened(path) as image:
        return image.size


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as H W 3; transparency is laid on white."""
    with _opened(path) as image:
        check_depth(image, path)
        quick = _decoded_quickly(path, image)
        return rgb_pixels(_decoded(path, image)) if quick is None else quick


def rgb_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow image to H W 3 bytes; transparency is laid on white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(picture.convert("RGB"))


def check_depth(image: Image.Image, name: object) -> None:
    """Refuse an image of more than 8 bits per channel; `name` is what the error calls it."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise BadFile(f"{name} has {image.mode} pixels; pictures need 8 bits per channel. Convert it first.")


def pixels_of(image: NDArray[np.uint8] | Image.Image) -> NDArray[np.uint8]:
    """Return the H W 3 bytes of an image that a caller gives in memory; refuse arrays of another shape or type."""
    if isinstance(image, Image.Image):
        check_depth(image, "The image")
        return rgb_pixels(image)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise UsageError(
            f"The image is an array of {pixels.dtype} of shape {pixels.shape}; it should be bytes (uint8) of shape "
            "(height, width, 3), red first. Multiply values in 0..1 by 255 and use .astype(np.uint8)."
        )
    return pixels


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a label mask as H W codes: palette or grey PNG/BMP, or a single-channel 8-bit TIFF."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff_mask(path)
    with _opened(path) as image:
        if image.mode not in INDEX_MODES:
            raise BadFile(
                f"{path} is a {image.mode} picture, but a mask holds one 8-bit class code per pixel "
                "(a palette or grey PNG). Convert colours to codes first."
            )
        tiles = getattr(image, "tile", None)  # how the pixels are stored; gone once they are decoded
        stretch = STRETCHED.get(str(tiles[0][3]), 1) if tiles else 1
        mask: NDArray[np.uint8] = np.asarray(_decoded(path, image)).astype(np.uint8)
    return mask // np.uint8(stretch)


def write_mask(path: Path, mask: NDArray[np.uint8], palette: list[int] | None = None) -> None:
    """Write H W codes as a PNG, with a flat RGB palette where one is given; fast compression."""
    image = Image.fromarray(mask)
    if palette is not None:
        image.putpalette(palette)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", compress_level=1)


def write_image(path: Path, picture: NDArray[np.uint8], **options: Any) -> None:  # noqa: ANN401 - Pillow's options
    """Write H W 3 pixels in the format of the suffix; the same pixels always give the same bytes."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, **options)


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse a header that states more pixels than any tile or photograph has."""
    if width * height > MAX_PIXELS or min(width, height) < 1:
        raise BadFile(
            f"{path} says it is {width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels read in "
            "one piece. If it is a slide, tile it first; if not, the file is damaged."
        )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open with Pillow, check the size in the header, and turn its errors into sentences.

    Its warnings are silenced: they are about damaged metadata, or about sizes that are refused here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path)
        except FileNotFoundError as error:
            raise BadFile(f"{path} does not exist.") from error
        except UnidentifiedImageError as error:
            raise BadFile(f"{path} is not a picture that can be read (damaged or of another format).") from error
        except Image.DecompressionBombError as error:
            raise BadFile(f"{path} promises more pixels than can be read; the file is damaged or a slide.") from error
        except (OSError, ValueError, SyntaxError) as error:
            raise BadFile(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
        with image:
            check_pixels(path, *image.size)
            yield image


def _decoded_quickly(path: Path, image: Image.Image) -> NDArray[np.uint8] | None:
    """Decode a plain PNG or JPEG with imagecodecs, which gives Pillow's pixels in half of its time.

    Returns None for every other file: Pillow knows more kinds, and says what is wrong with damaged ones.
    """
    if image.mode != "RGB" or "transparency" in image.info or image.format not in ("PNG", "JPEG"):
        return None
    import imagecodecs

    content = path.read_bytes()
    if image.format == "JPEG" and not content.endswith(END_OF_JPEG):  # a cut one would be decoded without an error
        return None
    try:
        decode = imagecodecs.png_decode if image.format == "PNG" else imagecodecs.jpeg8_decode
        pixels: NDArray[np.uint8] = decode(content)
    except Exception:  # its errors differ from codec to codec
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.shape == (image.height, image.width, 3) else None


def _decoded(path: Path, image: Image.Image) -> Image.Image:
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadFile(f"{path} is damaged: {error}. Fetch it again.") from error
    return image


def _read_tiff_mask(path: Path) -> NDArray[np.uint8]:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its log messages become one sentence of ours
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.series[0].levels[0]
            if page.dtype != np.uint8 or len(page.shape) != 2:
                raise BadFile(
                    f"{path} holds {page.dtype} of shape {page.shape}; a mask is one 8-bit channel (height, width)."
                )
            check_pixels(path, page.shape[1], page.shape[0])
            codes: NDArray[np.uint8] = page.asarray()
            return codes
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except BadFile:
        raise
    except Exception as error:  # tifffile and its codecs raise anything on damaged files
        raise BadFile(f"{path} is not a readable TIFF mask: {error}.") from error
