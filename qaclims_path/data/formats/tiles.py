"""A folder that `qaclims slides tile` wrote: pixels from its written tiles, or from the slides on the fly.

`manifest.csv` lists the tiles with their labels, `slides.csv` where the slides lie (relative to itself or absolute),
`tiling.json` how the tiles are read; `masks` holds a folder per slide where a split of the card has masks.
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
from qaclims_path.errors import BadFile, DatasetProblem
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
    """Records of a split, in the order of the manifest."""
    split = card.split(name)
    for file in (MANIFEST, SLIDES, TILED):
        if not (root / file).is_file():
            raise DatasetProblem(
                f"{root} has no {file}, so it is not a folder of tiles, or an unfinished one. Run `qaclims slides "
                f"tile --out {root}` again, until it says that it is done."
            )
    how = read_object(root / TILED, "Tile the slides again.")
    rows = [row for row in read_tiles(root / MANIFEST, card.names) if row.split == split.part]
    slides = read_rows(root / SLIDES)
    written = how.get("write") in SUFFIXES
    if not written:
        _check_slides(root, slides, rows)
    masks = _masks_folder(card, root, name, rows) if split.supervision == "masks" else None
    return [
        Record(
            id=row.tile,
            image=_written(root, row, how) if written else _on_slide(root, row, slides[row.slide], how),
            present=None if split.labels_from == "masks" else row.present,
            mask=None if masks is None else MaskFile(_mask_path(masks, row.slide, row.x, row.y)),
            patient=row.patient,
        )
        for row in rows
    ]


def _masks_folder(card: Card, root: Path, name: str, rows: list[TileRow]) -> Path:
    """Where the masks of a split lie, which has those of every slide."""
    folder = SplitFiles(card, root, name).find("the masks", card.split(name).masks)
    slides = list(dict.fromkeys(row.slide for row in rows))
    gone = [slide for slide in slides if not inside(folder, slide, root / MANIFEST).is_dir()]
    if gone:
        more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
        raise DatasetProblem(
            f"{folder} has no masks of {', '.join(gone[:SHOWN])}{more}. Run `qaclims slides tile` with --masks and "
            f"--out {root} again: only these slides are done anew."
        )
    return folder


def _mask_path(folder: Path, slide: str, x: int, y: int) -> Path:
    return folder / slide / f"{x}_{y}.png"


def _written(root: Path, row: TileRow, how: dict[str, Any]) -> ImageSource:
    folder = inside(root / "tiles", row.slide, root / MANIFEST)
    return ImageFile(folder / f"{row.x}_{row.y}.{SUFFIXES[how['write']]}")


def _on_slide(root: Path, row: TileRow, slide: SlideEntry, how: dict[str, Any]) -> ImageSource:
    stain = None if how.get("stain", "none") == "none" else inside(root / "stain", f"{row.slide}.json", root / MANIFEST)
    backend = str(how.get("backend", "auto"))
    return SlideTile(row.tile, slide.path, row.x, row.y, row.size, row.mpp, slide.mpp, backend, stain)


def _check_slides(root: Path, slides: dict[str, SlideEntry], rows: list[TileRow]) -> None:
    """Every tile's slide is listed and there."""
    wanted = list(dict.fromkeys(row.slide for row in rows))
    unlisted = [name for name in wanted if name not in slides]
    if unlisted:
        raise BadFile(f"{root / SLIDES} does not list the slide '{unlisted[0]}' of {MANIFEST}. Tile the slides again.")
    gone = [path for path in (slides[name].path for name in wanted) if "://" not in path and not Path(path).exists()]
    if gone:
        more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
        raise DatasetProblem(
            f"{len(gone)} of {len(wanted)} slides are not where they were: {', '.join(gone[:SHOWN])}{more}. Correct "
            f"the column 'slide' of {root / SLIDES}, or run `qaclims slides tile` on their new folder with the same "
            f"options and --out {root}: nothing is tiled twice. Tiles written with --write need no slides."
        )


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Paint one plain TIFF slide per patient with an image at each of its places, and list these as tiles."""
    import tifffile

    by_patient: dict[str, list[FakeItem]] = defaultdict(list)
    for item in items:
        by_patient[item.patient].append(item)
    manifest = root / MANIFEST
    rows: list[dict[str, object]] = [dict(row) for row in read_csv(manifest)] if manifest.exists() else []
    slides: list[dict[str, object]] = [dict(row) for row in read_csv(root / SLIDES)] if manifest.exists() else []
    side = 1
    for patient, found in by_patient.items():
        slide = f"slide-{patient}"
        side = found[0].image.shape[0]
        canvas = np.full((max(item.y for item in found) + side, max(item.x for item in found) + side, 3), 255, np.uint8)
        for item in found:
            canvas[item.y : item.y + side, item.x : item.x + side] = item.image
            rows.append(_fake_row(card, name, slide, item))
            for folder in card.split(name).masks[:1]:
                write_codes(_mask_path(root / folder, slide, item.x, item.y), card.encode(item.labels), card)
        place = root / "fake-slides" / f"{slide}.tiff"
        per_cm = 10_000 / FAKE_MPP
        with atomic_path(place) as temporary:
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
        at = place.relative_to(root).as_posix()
        slides.append({"name": slide, "slide": at, "patient": patient, "split": card.split(name).part, "mpp": FAKE_MPP})
    write_csv(manifest, rows, columns_of(card.names))
    write_csv(root / SLIDES, slides, ["name", "slide", "patient", "split", "mpp"])
    write_json(root / TILED, {"mpp": FAKE_MPP, "size": side, "write": "none", "stain": "none", "backend": "auto"})


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
    for index, called in enumerate(card.names):
        row[PRESENT + called] = int(index in present)
        row[SHARE + called] = float((item.labels == index).mean())
    return row


FORMATS.add("tiles")(Format(records=list_split, write=write_split))
