"""A folder written by `qaclims slides tile`: images are its tile files, or tiles read from the slides on demand.

`manifest.csv` lists the tiles with their labels, `slides.csv` the slides (paths relative to itself or absolute), and
`tiling.json` the options of the tiling. If a split of the card has masks, `masks` holds one folder of them per slide. A
split with masks and labels from the table has the tiles on which something is drawn, and no others.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.data.card import Card
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import SHOWN, SplitFiles, present_in, write_codes
from qaclims_path.data.record import ImageFile, ImageSource, MaskFile, Record
from qaclims_path.errors import BadFile, DatasetProblem, first_of
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.files.folders import inside
from qaclims_path.files.json_files import read_object
from qaclims_path.files.tables import read_csv, write_csv
from qaclims_path.slides.cohort.manifest import PRESENT, SHARE, TileRow, columns_of, read_tiles, tile_id
from qaclims_path.slides.cohort.slide_list import TILED, SlideEntry, read_rows
from qaclims_path.slides.tile import SlideTile

MANIFEST, SLIDES = "manifest.csv", "slides.csv"
SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
FAKE_MPP = 0.5


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """List the records of a split, in the order of the manifest."""
    split = card.split(name)
    for file in (MANIFEST, SLIDES, TILED):
        if not (root / file).is_file():
            raise DatasetProblem(
                f"{root} has no {file}, so it is not a folder of tiles, or an unfinished one. Run `qaclims slides "
                f"tile --out {root}` again, until it says that it is done."
            )
    options = read_object(root / TILED, "Tile the slides again.")
    only_drawn = split.supervision == "masks" and split.labels_from == "table"
    listed = (row for row in read_tiles(root / MANIFEST, card.names) if row.split == split.part)
    rows = [row for row in listed if row.drawn or not only_drawn]
    slides = read_rows(root / SLIDES)
    as_files = options.get("write") in SUFFIXES
    if not as_files:
        _check_slides(root, slides, rows)
    masks = _masks_folder(card, root, name, rows) if split.supervision == "masks" else None
    return [
        Record(
            id=row.tile,
            image=_tile_file(root, row, options) if as_files else _slide_tile(root, row, slides[row.slide], options),
            present=None if split.labels_from == "masks" else row.label.present,
            mask=None if masks is None else MaskFile(_mask_path(masks, row.slide, row.x, row.y)),
            patient=row.patient,
            slide=row.slide,
            unknown=() if split.labels_from == "masks" else row.label.unknown,
        )
        for row in rows
    ]


def _masks_folder(card: Card, root: Path, name: str, rows: list[TileRow]) -> Path:
    """Find the folder of masks, and check that it has masks of every slide."""
    folder = SplitFiles(card, root, name).find("the masks", card.split(name).masks)
    slides = list(dict.fromkeys(row.slide for row in rows))
    missing = [slide for slide in slides if not inside(folder, slide, root / MANIFEST).is_dir()]
    if missing:
        raise DatasetProblem(
            f"{folder} has no masks of {first_of(missing, SHOWN)}. Run `qaclims slides tile` with --masks and "
            f"--out {root} again: only these slides are tiled again."
        )
    return folder


def _mask_path(folder: Path, slide: str, x: int, y: int) -> Path:
    return folder / slide / f"{x}_{y}.png"


def _tile_file(root: Path, row: TileRow, options: dict[str, Any]) -> ImageSource:
    folder = inside(root / "tiles", row.slide, root / MANIFEST)
    return ImageFile(folder / f"{row.x}_{row.y}.{SUFFIXES[options['write']]}")


def _slide_tile(root: Path, row: TileRow, slide: SlideEntry, options: dict[str, Any]) -> ImageSource:
    normalised = options.get("stain", "none") != "none"
    stain = inside(root / "stain", f"{row.slide}.json", root / MANIFEST) if normalised else None
    backend = str(options.get("backend", "auto"))
    return SlideTile(row.tile, slide.path, row.x, row.y, row.size, row.mpp, slide.mpp, backend, stain)


def _check_slides(root: Path, slides: dict[str, SlideEntry], rows: list[TileRow]) -> None:
    """Check that the slide of every tile is listed and exists."""
    names = list(dict.fromkeys(row.slide for row in rows))
    unlisted = [name for name in names if name not in slides]
    if unlisted:
        raise BadFile(f"{root / SLIDES} does not list the slide '{unlisted[0]}' of {MANIFEST}. Tile the slides again.")
    paths = (slides[name].path for name in names)
    missing = [path for path in paths if "://" not in path and not Path(path).exists()]
    if missing:
        raise DatasetProblem(
            f"{len(missing)} of {len(names)} slides are not where they were: {first_of(missing, SHOWN)}. "
            f"Correct the column 'slide' of {root / SLIDES}, or run `qaclims slides tile` on their new folder with the "
            f"same options and --out {root}: nothing is tiled twice. Tiles written with --write need no slides."
        )


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write one plain TIFF slide per patient that shows the patient's images at their positions, and list the tiles."""
    split = card.split(name)
    by_patient: dict[str, list[FakeItem]] = defaultdict(list)
    for item in items:
        by_patient[item.patient].append(item)
    manifest = root / MANIFEST
    rows: list[dict[str, object]] = [dict(row) for row in read_csv(manifest)] if manifest.exists() else []
    slides: list[dict[str, object]] = [dict(row) for row in read_csv(root / SLIDES)] if manifest.exists() else []
    side = 1
    for patient, tiles in by_patient.items():
        slide = f"slide-{patient}"
        side = tiles[0].image.shape[0]
        for tile in tiles:
            rows.append(_fake_row(card, name, slide, tile))
            for folder in split.masks[:1]:
                write_codes(_mask_path(root / folder, slide, tile.x, tile.y), card.encode(tile.labels), card)
        path = root / "fake-slides" / f"{slide}.tiff"
        _write_slide(path, tiles)
        relative = path.relative_to(root).as_posix()
        slides.append({"name": slide, "slide": relative, "patient": patient, "split": split.part, "mpp": FAKE_MPP})
    write_csv(manifest, rows, columns_of(card.names))
    write_csv(root / SLIDES, slides, ["name", "slide", "patient", "split", "mpp"])
    write_json(root / TILED, {"mpp": FAKE_MPP, "size": side, "write": "none", "stain": "none", "backend": "auto"})


def _write_slide(path: Path, tiles: list[FakeItem]) -> None:
    """Write a TIFF that shows tiles at their positions on white."""
    import tifffile

    side = tiles[0].image.shape[0]
    canvas = np.full((max(tile.y for tile in tiles) + side, max(tile.x for tile in tiles) + side, 3), 255, np.uint8)
    for tile in tiles:
        canvas[tile.y : tile.y + side, tile.x : tile.x + side] = tile.image
    per_cm = 10_000 / FAKE_MPP
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            canvas,
            photometric="rgb",
            compression="deflate",
            tile=(256, 256),
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            metadata=None,
        )


def _fake_row(card: Card, name: str, slide: str, item: FakeItem) -> dict[str, object]:
    side = item.image.shape[0]
    present = present_in(item.labels, card)
    row: dict[str, object] = {
        "tile": tile_id(slide, item.x, item.y),
        "slide": slide,
        "patient": item.patient,
        "split": card.split(name).part,
        "x_px_level0": item.x,
        "y_px_level0": item.y,
        "width_px_level0": side,
        "height_px_level0": side,
        "size_px": side,
        "mpp_um": FAKE_MPP,
        "tissue_share": 1.0,
    }
    for index, class_name in enumerate(card.names):
        row[PRESENT + class_name] = int(index in present)
        row[SHARE + class_name] = float((item.labels == index).mean())
    return row


FORMATS.add("tiles")(Format(records=list_split, write=write_split))
