"""Where slide readers are listed, and how they say that a file is none of theirs."""

from collections.abc import Callable

from qaclims_path.errors import BadFile
from qaclims_path.registry import Registry
from qaclims_path.types import Backend

SLIDE_READERS: Registry[Callable[[str], Backend]] = Registry("slide reader", "qaclims_path.slide_readers")
"""Name -> function that opens a path; the `info.backend` of what it returns is that name.

It raises `UnsupportedFormat` for what other readers may open, and `BadFile` for what nobody can: a damaged file.
"""


class UnsupportedFormat(BadFile):
    """A file that this reader does not read; another one may."""
