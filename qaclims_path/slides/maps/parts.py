"""Keep finished bands of a map on disk until the map is complete, so that a killed run resumes after the last one."""

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
MAX_LEVELS = BAND.bit_length()  # in the coarsest level, a band is one row


class BandParts:
    """A folder with one file per finished band, which holds the band at every level of the pyramid.

    Attributes:
        folder: The folder; `remove` deletes it.
        done: Number of finished bands, counted from the top without a gap.
    """

    def __init__(self, folder: Path, plan: Mapping[str, object], layers: Sequence[Layer]) -> None:
        """Open the folder, and empty it first if it was written for another plan.

        Args:
            folder: A folder on the same file system as the result, so that files can be renamed.
            plan: Everything that affects the content of the bands, as JSON values.
            layers: Layers of a band to keep.
        """
        self.folder = folder
        self.layers = layers
        text = json.dumps({**plan, "layers": list(layers)}, sort_keys=True)
        if not self._written_for(text):
            self.remove()
            write_text(folder / "plan.json", text)
        self.done = 0
        while self._path(self.done).exists():
            self.done += 1

    def add(self, band: Band) -> None:
        """Keep the next band."""
        arrays: dict[str, NDArray[Any]] = {"counts": np.bincount(band.codes.reshape(-1), minlength=256)}
        for layer in self.layers:
            values = band.codes if layer == "codes" else band.confidence
            arrays |= {f"{layer}{level}": values[:: 1 << level, :: 1 << level] for level in range(MAX_LEVELS)}
        with (
            atomic_path(self._path(self.done)) as temporary,
            ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=1) as file,
        ):
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        self.done += 1

    def counts(self) -> NDArray[np.int64]:
        """Count the pixels of each code over all bands (256 numbers)."""
        total: NDArray[np.int64] = sum((self._read(i, "counts") for i in range(self.done)), np.zeros(256, np.int64))
        return total

    def rows(self, layer: Layer, level: int) -> Iterator[NDArray[np.uint8]]:
        """Yield a level of a layer from top to bottom in arrays of `BAND` rows; the last one may have fewer."""
        bands_per_array = 1 << level
        for first in range(0, self.done, bands_per_array):
            bands = range(first, min(first + bands_per_array, self.done))
            yield np.concatenate([self._read(i, f"{layer}{level}") for i in bands])

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"band-{index:05d}.npz"

    def _written_for(self, plan: str) -> bool:
        try:
            return (self.folder / "plan.json").read_text(encoding="utf-8") == plan
        except OSError:
            return False

    def _read(self, index: int, name: str) -> NDArray[Any]:
        try:
            with ZipFile(self._path(index)) as archive, archive.open(f"{name}.npy") as file:
                return read_values(file, read_header(file))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BadFile(
                f"{self._path(index)} is damaged: {error}. Delete the folder {self.folder} and run again."
            ) from error
