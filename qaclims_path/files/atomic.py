"""Write under a temporary name, then rename, so that an unfinished file is never taken for a finished one."""

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
    """Give a temporary path beside `path`; rename it when the block succeeds, remove it when it fails.

    The temporary name keeps the suffix, because libraries choose the format by it. Works for a file or a folder; a
    folder of that name must not exist yet.

    Examples:
        >>> with atomic_path(Path("out/labels.csv")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("image,tumor")
    """
    own = f"{os.getpid()}{secrets.randbelow(10**9):09}"  # process numbers repeat across containers
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
    """Remove temporary copies of `path` that killed processes left; no process may be writing it."""
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
    """Append to a UTF-8 text file in place: for short lines that are written often."""
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
    return QaclimsError(f"{path} cannot be written: {folder}{error.strerror or error}. Choose another folder.")


def _concerns(error: OSError, path: Path, temporary: Path) -> bool:
    """Return whether the error concerns the file that is written, and not one that the block reads."""
    if error.filename is None:
        return True
    failed = Path(os.fsdecode(error.filename))
    return failed == path or failed in path.parents or failed.is_relative_to(temporary)


def _remove(path: Path) -> None:
    with suppress(OSError):  # a failed removal must not hide the first error
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
