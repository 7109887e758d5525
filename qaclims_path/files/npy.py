"""A restricted reader of the `.npy` format: numbers, arrays and containers of them; nothing can be executed.

Published label tables and answer files are pickles inside `.npy`. They are read with Python's own unpickler in pure
Python: every name that a pickle may call is replaced by a stand-in of ours, and any other name is refused.
"""

import io
import math
import pickle
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from qaclims_path.errors import BadFile

MAX_BYTES = 2_000_000_000
NUMERIC = "biuf"

# NumPy parses a header as Python text, and Python 3.11's parser counts its depth for all threads together: now and then
# two of them at once end in "AST constructor recursion depth mismatch".
_ONE_PARSER = threading.Lock()


@dataclass(frozen=True)
class Header:
    """Header of an array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Number of bytes after the header."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> Header:
    """Read the header, up to the first byte of the array; a ValueError means that this is no `.npy`."""
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        with _ONE_PARSER:
            header = Header(*read(stream))
    except Exception as error:  # a damaged header can raise anything
        raise ValueError("not a NumPy array (or a damaged one)") from error
    if any(side < 0 for side in header.shape):
        raise ValueError(f"it promises an array of shape {header.shape}")
    return header


def read_values(stream: IO[bytes], header: Header) -> np.ndarray[Any, Any]:
    """Read the values after a header, read-only; a ValueError means that their number is another than stated."""
    content = stream.read(header.bytes + 1)
    if len(content) != header.bytes:
        found = "more" if len(content) > header.bytes else f"{len(content)}"
        raise ValueError(f"it promises {header.bytes} bytes of numbers and holds {found}")
    return np.ndarray(header.shape, header.dtype, content, order="F" if header.fortran else "C")


def read_npy(path: Path) -> Any:  # noqa: ANN401 - whatever plain data the file holds
    """Read a `.npy` file: a numeric array, or containers, strings, numbers and numeric arrays.

    Examples:
        >>> read_npy(Path("cls_labels.npy"))[2007000032].shape  # doctest: +SKIP
        (20,)
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadFile(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; a label or answer file is not.")
        content = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error
    stream = io.BytesIO(content)
    try:
        header = read_header(stream)
    except ValueError as error:
        raise BadFile(f"{path} is not a NumPy .npy file: {error}. Fetch it again.") from error
    if header.dtype.kind == "O":
        return _unpickled(path, stream)
    if header.dtype.kind not in NUMERIC:
        raise BadFile(f"{path} holds {header.dtype} values; only numbers are read.")
    try:
        return read_values(stream, header).copy()
    except ValueError as error:
        raise BadFile(f"{path} is damaged or was not copied to the end: {error}. Fetch it again.") from error


def _unpickled(path: Path, stream: io.BytesIO) -> Any:  # noqa: ANN401
    try:
        value = _Restricted(stream, encoding="latin1").load()
        return _plain(value, {}) if not isinstance(value, _Array) else _outermost(value)
    except _Refused as error:
        raise BadFile(
            f"{path} wants to execute {error}; refused. Only containers, strings, numbers and numeric arrays are read."
        ) from error
    except RecursionError as error:
        raise BadFile(f"{path} is nested too deeply to be a label or answer file.") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise BadFile(f"{path} is damaged: {error or type(error).__name__}. Fetch it again.") from error


class _Refused(Exception):
    """A pickle asks for a name that is not allowed."""


class _Restricted(pickle._Unpickler):
    """The pure-Python unpickler: its memo is a dict, so a small file cannot make it gigabytes large."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        stand_in: Callable[..., Any] | None = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _Refused(f"{module}.{name}")
        return stand_in


class _Dtype:
    """A numeric dtype as pickled: a type string, then its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not (state[1] in ("<", ">", "|", "=") and state[2] is None and state[3] is None):
            raise ValueError("structured arrays are not read")
        self.order = state[1]

    @property
    def real(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        if self.code.startswith("O"):
            raise ValueError("arrays of objects inside others are not read")
        return np.dtype(self.code).newbyteorder(self.order if self.order != "|" else "=")  # type: ignore[arg-type]


class _Array:
    """An array as pickled; it becomes a NumPy array when everything is read."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state
        sides_ok = isinstance(self.shape, tuple) and all(isinstance(n, int) and n >= 0 for n in self.shape)
        if not (sides_ok and isinstance(self.dtype, _Dtype)):
            raise ValueError("an array without shape or type")

    @property
    def real(self) -> np.ndarray[Any, Any]:
        """The NumPy array; its size has to fit the number of bytes."""
        dtype, data = self.dtype.real, _bytes(self.data)
        if math.prod(self.shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of shape {self.shape} with {len(data)} bytes")
        flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


class _StandIn:
    """A callable without attributes: a pickle can call it with checked arguments, but not change it."""

    __slots__ = ()


class _ndarray(_StandIn):  # noqa: N801 - named like the original
    __slots__ = ()


class _reconstruct(_StandIn):  # noqa: N801
    __slots__ = ()

    def __call__(self, kind: object, _shape: object, _code: object) -> _Array:
        if not isinstance(kind, _ndarray):
            raise _Refused("numpy's _reconstruct on something that is not an array")
        return _Array()


class _dtype(_StandIn):  # noqa: N801
    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _Dtype:
        if not (isinstance(code, str) and re.fullmatch(r"[<>|=]?([biufO][1248]?|\?)", code)):
            raise ValueError(f"values of type {code!r} are not read")
        return _Dtype(code.lstrip("<>|="))


class _scalar(_StandIn):  # noqa: N801
    __slots__ = ()

    def __call__(self, dtype: _Dtype, data: object) -> Any:  # noqa: ANN401
        return np.frombuffer(_bytes(data), dtype.real, count=1)[0].item()


class _encode(_StandIn):  # noqa: N801
    __slots__ = ()

    def __call__(self, text: object, _encoding: object = "latin1") -> bytes:
        return _bytes(text)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ndarray(),
    ("numpy", "dtype"): _dtype(),
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct(),
    ("numpy.core.multiarray", "scalar"): _scalar(),
    ("_codecs", "encode"): _encode(),
}


def _bytes(data: object) -> bytes:
    """Bytes, including those that Python 2 or an old protocol wrote as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes):
        raise TypeError(f"expected bytes, found {type(data).__name__}")
    return data


def _outermost(array: _Array) -> Any:  # noqa: ANN401
    """`np.save` wraps any object in an array of objects: a single one is unwrapped, several become a list."""
    if not array.dtype.code.startswith("O"):
        return array.real
    if not isinstance(array.data, list) or math.prod(array.shape) != len(array.data):
        raise ValueError("an array of objects of another size than it says")
    values = _plain(array.data, {})
    return values[0] if array.shape == () else values


def _plain(value: Any, seen: dict[int, Any]) -> Any:  # noqa: ANN401
    """Replace the stand-ins inside containers; a container that is referred to several times is visited once."""
    if isinstance(value, _Array | dict | list | tuple | set | frozenset):
        if id(value) not in seen:
            seen[id(value)] = _rebuilt(value, seen)
        return seen[id(value)]
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    raise ValueError(f"a {type(value).__name__} where plain data should be")


def _rebuilt(value: Any, seen: dict[int, Any]) -> Any:  # noqa: ANN401
    if isinstance(value, _Array):
        return value.real
    if isinstance(value, dict):
        return {_plain(key, seen): _plain(item, seen) for key, item in value.items()}
    return type(value)(_plain(item, seen) for item in value)
