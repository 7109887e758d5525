"""Read the arrays of an MXNet `.params` file, which holds plain numbers and names and no code.

Layout, little endian: the mark 0x112, a reserved word, number of arrays, arrays, number of names, names.
An array is its shape, a device (which does not matter here), a number type and the values. Three versions of the shape
are read, and dense arrays only.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile

MARK = 0x112
DENSE_VERSIONS, LONG_SHAPE_VERSION = (0xF993FAC9, 0xF993FACA), 0xF993FAC8
TYPES: Mapping[int, str] = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
MAX_ARRAYS, MAX_NAME, MAX_DIMENSIONS = 100_000, 1_000, 16


def read_params(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a file by name.

    Examples:
        >>> sorted(read_params(Path("ilsvrc-cls_rna-a1_cls1000_ep-0001.params")))[0]  # doctest: +SKIP
        'arg:bn2a_branch2a_beta'
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).arrays()
    except FileNotFoundError as error:
        raise BadFile(f"The weights {path} do not exist.") from error
    except (OSError, ValueError, struct.error) as error:
        raise BadFile(f"{path} is not a complete .params file of MXNet: {error}. Download it again.") from error


class _Reader:
    """Reads values of an open file, and refuses sizes that the rest of the file cannot hold."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        mark, _, count = self._numbers("<QQQ")
        if mark != MARK:
            raise ValueError("it does not begin with the mark of such a file")
        if count > MAX_ARRAYS:
            raise ValueError(f"it claims to hold {count} arrays")
        arrays = [self._array() for _ in range(count)]
        (named,) = self._numbers("<Q")
        if named != count:
            raise ValueError(f"it holds {count} arrays and {named} names")
        found = {self._name(): array for array in arrays}
        if self._left or len(found) != count:
            raise ValueError("a name occurs twice" if len(found) != count else f"{self._left} bytes follow its end")
        return found

    def _array(self) -> NDArray[np.generic]:
        shape = self._shape()
        _, _, kind = self._numbers("<iii")
        if kind not in TYPES:
            raise ValueError(f"an array has the unknown number type {kind}")
        dtype = np.dtype(TYPES[kind])
        values = np.frombuffer(self._bytes(math.prod(shape) * dtype.itemsize), dtype)
        return values.reshape(shape)

    def _shape(self) -> tuple[int, ...]:
        (version,) = self._numbers("<I")
        if version in DENSE_VERSIONS:
            (storage,) = self._numbers("<i")
            if storage != 0:
                raise ValueError("an array is sparse, which is not read")
        long = version in (*DENSE_VERSIONS, LONG_SHAPE_VERSION)
        (dimensions,) = self._numbers("<I") if long else (version,)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"an array claims to have {dimensions} dimensions")
        shape = self._numbers(f"<{dimensions}{'q' if long else 'I'}")
        if min(shape) < 0:
            raise ValueError(f"an array has the shape {shape}")
        return shape

    def _name(self) -> str:
        (length,) = self._numbers("<Q")
        if length > MAX_NAME:
            raise ValueError(f"a name claims to have {length} bytes")
        return self._bytes(length).decode("utf-8")

    def _numbers(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def _bytes(self, count: int) -> bytes:
        if count > self._left:
            raise ValueError(f"it ends {count - self._left} bytes too early")
        self._left -= count
        return self._file.read(count)
