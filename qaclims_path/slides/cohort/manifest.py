"""Manifest of tiles: one CSV per slide, merged into one for all (and Parquet where pyarrow is installed).

Columns: `tile` (its id), `slide`, `patient`, `split`; the position in pixels of the full resolution (`x_px_level0`,
`y_px_level0`, `width_px_level0`, `height_px_level0`); size and pixel size when read (`size_px`, `mpp_um`);
`tissue_share`; per class `present_<class>` (0, 1, or ? where it is not known), and `share_<class>` where labels come
from regions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.marks import UNKNOWN, Label, label_of, read_mark, write_mark
from qaclims_path.files.tables import read_csv, write_csv
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.types import TileGrid

TEXT = ("tile", "slide", "patient", "split")
WHOLE = ("x_px_level0", "y_px_level0", "width_px_level0", "height_px_level0", "size_px")
REAL = ("mpp_um", "tissue_share")
COLUMNS = (*TEXT, *WHOLE, *REAL)
PRESENT, SHARE = "present_", "share_"


@dataclass(frozen=True)
class TileLabels:
    """Labels of the tiles of a slide.

    Attributes:
        classes: Class names.
        present: N C, bool.
        shares: N C, share of the tile that each class covers; None where whole slides are labelled.
        known: N C, bool: whether it is known that the class is present or absent; None where all are.
    """

    classes: tuple[str, ...]
    present: NDArray[np.bool_]
    shares: NDArray[np.float32] | None = None
    known: NDArray[np.bool_] | None = None

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """N: the tiles on which anything is drawn."""
        shares = np.zeros_like(self.present, np.float32) if self.shares is None else self.shares
        return np.asarray((shares > 0).any(axis=1))

    def mark(self, tile: int, k: int) -> str:
        """Return the cell of a tile and a class."""
        return write_mark(bool(self.present[tile, k]), self.known is None or bool(self.known[tile, k]))


@dataclass(frozen=True, slots=True)
class TileRow:
    """A row of a manifest; `drawn` says whether any annotated region covers part of the tile."""

    tile: str
    slide: str
    patient: str
    split: str
    x: int
    y: int
    size: int
    mpp: float
    label: Label
    drawn: bool


def tile_id(slide: str, x: int, y: int) -> str:
    """Return the name of a tile.

    Examples:
        >>> tile_id("case-1", 4096, 512)
        'case-1_4096_512'
    """
    return f"{slide}_{x}_{y}"


def columns_of(classes: Sequence[str]) -> list[str]:
    """Return all columns of a manifest."""
    return [*COLUMNS, *(PRESENT + name for name in classes), *(SHARE + name for name in classes)]


def write_slide_manifest(path: Path, entry: SlideEntry, grid: TileGrid, labels: TileLabels) -> None:
    """Write the tiles of one slide, in the order of its grid."""
    fixed = {"slide": entry.name, "patient": entry.patient, "split": entry.split}
    fixed |= {"width_px_level0": grid.width0, "height_px_level0": grid.height0}  # type: ignore[dict-item]
    fixed |= {"size_px": grid.size, "mpp_um": grid.mpp}  # type: ignore[dict-item]

    def rows() -> Iterator[dict[str, object]]:
        shares = labels.shares
        for i, (x, y, tissue) in enumerate(zip(grid.x.tolist(), grid.y.tolist(), grid.tissue.tolist(), strict=True)):
            row: dict[str, object] = {**fixed, "tile": tile_id(entry.name, x, y), "x_px_level0": x, "y_px_level0": y}
            row["tissue_share"] = tissue
            for c, name in enumerate(labels.classes):
                row[PRESENT + name] = labels.mark(i, c)
                row[SHARE + name] = None if shares is None else float(shares[i, c])
            yield row

    write_csv(path, rows(), columns_of(labels.classes))


def merge(target: Path, parts: Sequence[Path], classes: Sequence[str]) -> None:
    """Join manifests of slides into one, in the given order; the same parts give the same bytes."""
    if not parts:
        write_csv(target, [], columns_of(classes))
    else:
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            _join(file, parts)
    if find_spec("pyarrow") is not None:
        _write_parquet(target, classes)


def read_tiles(path: Path, classes: Sequence[str]) -> Iterator[TileRow]:
    """Yield the rows of a manifest, with the label of each tile."""
    marks, shares = [PRESENT + name for name in classes], [SHARE + name for name in classes]
    for line, row in enumerate(read_csv(path, [*COLUMNS, *marks]), start=2):
        try:
            x, y, size = (int(row[column]) for column in ("x_px_level0", "y_px_level0", "size_px"))
            mpp = float(row["mpp_um"])
            label = label_of(read_mark(row[mark]) for mark in marks)
            drawn = any(float(row.get(share) or 0) > 0 for share in shares)
        except ValueError as error:
            raise BadFile(f"{path}, line {line}: {error}. Tile the slides again.") from error
        yield TileRow(row["tile"], row["slide"], row["patient"], row["split"], x, y, size, mpp, label, drawn)


def _join(file: BinaryIO, parts: Sequence[Path]) -> None:
    header = None
    for part in parts:
        try:
            content = part.read_bytes()
        except OSError as error:
            raise BadFile(f"{part} cannot be read: {error.strerror or error}. Run the tiling again.") from error
        first, _, rest = content.partition(b"\n")
        if header is None:
            file.write(first + b"\n")
        elif first != header:
            raise BadFile(f"{part} has other columns than the manifests before it. Remove it and tile again.")
        header = first
        file.write(rest)


def _write_parquet(source: Path, classes: Sequence[str]) -> None:
    pa, csv, parquet = (import_module(name) for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet"))
    types = dict.fromkeys(TEXT, pa.string()) | dict.fromkeys(WHOLE, pa.int64()) | dict.fromkeys(REAL, pa.float64())
    types |= {PRESENT + name: pa.int8() for name in classes} | {SHARE + name: pa.float64() for name in classes}
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=["", UNKNOWN])
    table = csv.read_csv(source, convert_options=options)
    with atomic_path(source.with_suffix(".parquet")) as temporary:
        parquet.write_table(table, temporary)
