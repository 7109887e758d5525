"""Finished bands of a map, kept on disk until the map is whole: a killed run goes on from the last one."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path, write_text
from qaclims_path.files.npy import read_header, read_values
from qaclims_path.slides.maps.stitch import BAND, Band

Layer = Literal["codes", "confidence"]
MAX_LEVELS = BAND.bit_length()  # a band of the coarsest level is one row


class BandParts:
    """A folder with one file per finished band, in every size of the pyramid.

    Attributes:
        folder: Where the files lie; `remove` takes it away.
        done: Number of finished bands, without a gap from the top.
    """

    def __init__(self, folder: Path, plan: Mapping[str, object], layers: Sequence[Layer]) -> None:
        """Open the folder, and empty it first when it was made for another plan.

        Args:
            folder: Beside the result, so that renaming from it is possible.
            plan: All that decides the content of the bands, as JSON values.
            layers: What is kept of them.
        """
        self.folder = folder
        self.layers = layers
        text = json.dumps({**plan, "layers": list(layers)}, sort_keys=True)
        if not self._made_for(text):
            self.remove()
            write_text(folder / "plan.json", text)
        self.done = 0
        while self._path(self.done).exists():
            self.done += 1

    def add(self, band: Band) -> None:
        """Keep the next band."""
        arrays: dict[str, NDArray[Any]] = {"counts": np.bincount(band.codes.reshape(-1), minlength=256)}
        for layer in self.layers:
            whole = band.codes if layer == "codes" else band.confidence
            arrays |= {f"{layer}{level}": whole[:: 1 << level, :: 1 << level] for level in range(MAX_LEVELS)}
        with (
            atomic_path(self._path(self.done)) as temporary,
            ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=1) as file,
        ):
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        self.done += 1

    def counts(self) -> NDArray[np.int64]:
        """256 numbers: the pixels of each code in all bands."""
        total: NDArray[np.int64] = sum((self._read(i, "counts") for i in range(self.done)), np.zeros(256, np.int64))
        return total

    def rows(self, layer: Layer, level: int) -> Iterator[NDArray[np.uint8]]:
        """The layer from top to bottom in pieces of `BAND` rows; the last one may have fewer."""
        together = 1 << level
        for first in range(0, self.done, together):
            pieces = range(first, min(first + together, self.done))
            yield np.concatenate([self._read(i, f"{layer}{level}") for i in pieces])

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"band-{number:05d}.npz"

    def _made_for(self, plan: str) -> bool:
        try:
            return (self.folder / "plan.json").read_text(encoding="utf-8") == plan
        except OSError:
            return False

    def _read(self, number: int, name: str) -> NDArray[Any]:
        try:
            with ZipFile(self._path(number)) as part, part.open(f"{name}.npy") as file:
                return read_values(file, read_header(file))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BadFile(
                f"{self._path(number)} is damaged: {error}. Delete the folder {self.folder} and run again."
            ) from error
