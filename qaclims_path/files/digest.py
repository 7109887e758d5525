"""SHA-256 digests of files, texts and JSON values, as hexadecimal digits; they tell whether something has changed."""

import hashlib
import json
from pathlib import Path
from typing import Any

FULL = 64  # digits of all of SHA-256


def digest_of(*parts: str | bytes | memoryview, digits: int = 16) -> str:
    """Return the digest of texts (as UTF-8) and bytes, one after the other.

    Examples:
        >>> digest_of("tumor", " ", b"stroma") == digest_of("tumor stroma")
        True
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
    return total.hexdigest()[:digits]


def digest_of_file(path: Path, digits: int = 16) -> str:
    """Return the digest of a file's bytes; it is read in pieces.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:digits]


def digest_of_json(value: Any, digits: int = 16) -> str:  # noqa: ANN401 - any value that JSON can hold
    """Return the digest of a JSON value, whatever the order of its keys.

    Examples:
        >>> digest_of_json({"a": 1, "b": (2,)}) == digest_of_json({"b": [2], "a": 1})
        True
    """
    return digest_of(json.dumps(value, sort_keys=True), digits=digits)
