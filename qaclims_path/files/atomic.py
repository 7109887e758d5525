"""An unfinished file is never taken for a finished one: write beside it, then rename."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qaclims_path.errors import QaclimsError

TEMPORARY = re.compile(r"\..+\.\d+\.part(\..+)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it when the block ends well, remove it when not.

    The temporary name keeps the suffix, because libraries choose the format by it. Works for a file or a folder; a
    folder of that name must not exist yet.

    Example:
        >>> with atomic_path(Path("out/labels.csv")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("image,tumor")
    """
    own = f"{os.getpid()}{secrets.randbelow(10**9):09}"  # every container's first process has the same number
    temporary = path.with_name(f".{path.stem}.{own}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if not _concerns(error, path, temporary):
            raise
        raise _unwritable(path, error) from error
    finally:
        _remove(temporary)


def sweep(path: Path) -> None:
    """Remove what killed processes left of `path` under temporary names; nobody may be writing it now."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.part{re.escape(path.suffix)}")
    for other in path.parent.glob(".*.part*"):
        if name.fullmatch(other.name):
            _remove(other)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one step."""
    write_bytes(path, text.encode("utf-8"))


def append_text(path: Path, text: str) -> None:
    """Add to the end of a UTF-8 text file, which grows in place: for what is short and comes often."""
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Write indented JSON; NaN is refused, because JSON has none: pass None."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _unwritable(path: Path, error: OSError) -> QaclimsError:
    folder = f"{path.parent}: " if error.filename == str(path.parent) else ""
    return QaclimsError(f"{path} cannot be written: {folder}{error.strerror or error}. Choose another place.")


def _concerns(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether it was the writing that failed, and not something that the block read."""
    if error.filename is None:
        return True
    place = Path(os.fsdecode(error.filename))
    return place == path or place in path.parents or place.is_relative_to(temporary)


def _remove(path: Path) -> None:
    with suppress(OSError):  # what cannot be removed must not hide what went wrong before
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
