"""Read JSON files that an earlier command wrote; they may have been changed or damaged since."""

import json
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        remedy: Advice if the file cannot be read, as a sentence.
    """
    found = _read(path, remedy)
    if not isinstance(found, dict):
        raise BadFile(f"{path} should hold an object. {remedy}")
    return found


def read_objects(path: Path, remedy: str) -> list[dict[str, Any]]:
    """Read a list of JSON objects; arguments as above."""
    found = _read(path, remedy)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BadFile(f"{path} should hold a list of objects. {remedy}")
    return found


def _read(path: Path, remedy: str) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadFile(f"{path} cannot be read: {reason}. {remedy}") from error
