"""The registry of slide readers, and the error for files that a reader does not support."""

from collections.abc import Callable

from qaclims_path.errors import BadFile
from qaclims_path.registry import Registry
from qaclims_path.types import Backend

SLIDE_READERS: Registry[Callable[[str], Backend]] = Registry("slide reader", "qaclims_path.slide_readers")
"""Name -> function that opens a path and returns a backend whose `info.backend` is that name.

The function raises `UnsupportedFormat` if another reader may open the file, and `BadFile` if the file is damaged.
"""


class UnsupportedFormat(BadFile):
    """This reader does not support the file; another one may."""
