"""Class scores of one image as `.npz`: `scores` (K h w), `classes` (K names), and optionally `size` (height, width).

Every size is checked in the headers before anything is decompressed, and nothing is ever unpickled.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.images import check_pixels
from qaclims_path.files.npy import read_header, read_values

MAX_SCORES = 500_000_000  # numbers after resizing; 81 maps of 2 400 pixels squared
MAX_NAMES_BYTES = 1_000_000


@dataclass(frozen=True)
class ClassScores:
    """Class scores of one image, at the size they were stored in.

    Attributes:
        scores: K h w, float32, finite.
        classes: K names; `background` may be one of them.
        size: Height and width of the image; the maps are resized to it bilinearly.
    """

    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    size: tuple[int, int]


def read_scores(path: Path) -> ClassScores:
    """Read the class scores of one image."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = _names(path, archive)
            scores = _array(path, archive, "scores", "ef", 4 * MAX_SCORES)
            size = _array(path, archive, "size", "iu", 64) if "size.npy" in archive.namelist() else None
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadFile(f"{path} is not a readable .npz file: {error}. Write it again.") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}.") from error
    if size is not None and (size.shape != (2,) or int(size.astype(np.int64).min()) < 1):
        raise BadFile(f"{path}: `size` should be two whole numbers, height and width.")
    return check_scores(path, scores, names, None if size is None else (int(size[0]), int(size[1])))


def write_scores(
    path: Path, scores: NDArray[np.floating], classes: Sequence[str], size: tuple[int, int] | None = None
) -> None:
    """Write class scores (K h w, float16 or float32) in one step.

    `size` is the height and width of the image, where the maps are smaller.

    Examples:
        >>> write_scores(Path("a.npz"), maps, ["tumor", "stroma"], size=(224, 224))  # doctest: +SKIP
    """
    arrays = {"scores": scores, "classes": np.asarray(classes, np.str_)}
    if size is not None:
        arrays["size"] = np.asarray(size, np.int64)
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def _names(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    names = _array(path, archive, "classes", "U", MAX_NAMES_BYTES)
    if names.ndim != 1 or len(set(names.tolist())) != names.size:
        raise BadFile(f"{path}: `classes` should be a list of different class names, one for each map.")
    return tuple(names.tolist())


def _array(path: Path, archive: zipfile.ZipFile, name: str, kinds: str, most_bytes: int) -> NDArray[np.generic]:
    """One array of the archive; kind and size are checked in its header before the rest is read."""
    if f"{name}.npy" not in archive.namelist():
        raise BadFile(f"{path} holds no array `{name}`; it needs `scores` (K, height, width) and `classes` (K names).")
    with archive.open(f"{name}.npy") as file:
        header = read_header(file)
        dtype = header.dtype
        if dtype.kind not in kinds.replace("e", "f") or ("e" in kinds and dtype.itemsize > 4):
            wanted = {"ef": "float16 or float32", "U": "text", "iu": "whole numbers"}[kinds]
            raise BadFile(f"{path}: `{name}` holds {dtype} values, but should hold {wanted}.")
        if header.bytes > most_bytes:
            raise BadFile(f"{path}: `{name}` says it has the shape {header.shape}, more than is read in one piece.")
        return read_values(file, header)


def check_scores(
    path: Path, scores: NDArray[np.generic], classes: Sequence[str], size: tuple[int, int] | None
) -> ClassScores:
    """Return class scores (K h w) as float32, or refuse them.

    Args:
        path: File or folder they come from, for messages.
        scores: K h w.
        classes: K names.
        size: Height and width of the image; those of the maps when None.
    """
    if scores.ndim != 3 or len(scores) != len(classes):
        raise BadFile(
            f"{path}: `scores` has the shape {scores.shape}; {len(classes)} classes need "
            f"({len(classes)}, height, width)."
        )
    height, width = size or scores.shape[1:]
    check_pixels(path, width, height)
    if 0 in scores.shape[1:] or len(classes) * height * width > MAX_SCORES:
        raise BadFile(f"{path}: {len(classes)} maps of {width} x {height} pixels cannot be scored in one piece.")
    values = scores.astype(np.float32)
    if not np.isfinite(values).all():
        raise BadFile(f"{path}: `scores` holds NaN or infinite values.")
    return ClassScores(values, tuple(classes), (height, width))
