"""List folders in one pass and in a stable order, without opening files."""

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from qaclims_path.errors import BadFile

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def list_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return names of the files directly in a folder with one of the suffixes (any case), sorted.

    Hidden files and the left-overs of other systems (`._x.png`, `.DS_Store`) are not listed.
    """
    wanted = tuple(suffixes)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(wanted)]
    except OSError as error:
        raise BadFile(
            f"{folder} cannot be listed: {error.strerror or error}. Check the path and its permissions."
        ) from error
    strange = next((name for name in names if not name.isascii() and not _is_text(name)), None)
    if strange is not None:
        raise BadFile(f"{folder} holds a file whose name is not UTF-8: {os.fsencode(strange)!r}. Rename it.")
    return sorted(name for name in names if not name.startswith("."))


def _is_text(name: str) -> bool:
    """Return whether a name is valid UTF-8; Python reads other bytes as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def first_existing(root: Path, spellings: Collection[str]) -> Path | None:
    """Return the first of several spellings of a folder or file that exists below root.

    Examples:
        >>> first_existing(Path("BCSS-WSSS"), ["val", "valid"])  # doctest: +SKIP
        PosixPath('BCSS-WSSS/valid')
    """
    for spelling in spellings:
        path = root / spelling
        try:
            if path.exists():
                return path
        except OSError as error:  # a symlink loop, or a folder that may not be entered
            raise BadFile(f"{path} cannot be followed: {error.strerror or error}.") from error
    return None


def inside(root: Path, name: str, source: object) -> Path:
    """Join a name found in some file to its root, refusing names that lead out of it.

    Examples:
        >>> inside(Path("/data"), "../etc/passwd", "a.txt")
        Traceback (most recent call last):
        qaclims_path.errors.BadFile: a.txt names '../etc/passwd', which leads out of /data. Names must stay inside it.
    """
    parts = Path(name).parts
    if not name or "\0" in name or Path(name).is_absolute() or ".." in parts:
        raise BadFile(f"{source} names '{name}', which leads out of {root}. Names must stay inside it.")
    return root / name


def stem_key(name: str) -> str:
    """Return the name without folder and suffix, in one Unicode spelling, so that files of two systems match."""
    return unicodedata.normalize("NFC", Path(name).stem)
