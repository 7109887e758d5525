"""Cut large images with masks into tiles: a data set of its own, with a card, labels of training tiles, and masks."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from qaclims_path.config import parse
from qaclims_path.data.card import BACKGROUND_NAME, IGNORE, IGNORE_NAME, Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import ImageFile, Record, classes_in, truth_of
from qaclims_path.errors import BadFile, SplitAbsent, UsageError
from qaclims_path.files.atomic import atomic_path, write_text
from qaclims_path.files.images import write_image, write_mask
from qaclims_path.files.progress import track
from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.datasets.options import CutOptions

CARD, TABLE = "card.yaml", "labels.csv"
HEADER = "# Written by `qaclims datasets tile`.\n"
TRAIN = "train"
DRAWN = "-drawn"  # ending of the splits with the masks of training tiles, for supervised rows only
Tile = tuple[int, int, NDArray[np.uint8], NDArray[np.uint8]]  # left and upper edge, pixels, label indices


@dataclass(frozen=True)
class CutReport:
    """Tiles that were written.

    Attributes:
        tiles: Number by split.
        images: Number of images that they were cut from, by split.
        empty: Number of tiles that were left out, as nothing is annotated in them.
    """

    dataset: str
    out: str
    tiles: dict[str, int]
    images: dict[str, int]
    empty: int


def tile_images(card: Card, root: Path, out: Path, options: CutOptions = CutOptions()) -> CutReport:  # noqa: B008 - frozen
    """Cut the images of all splits that are there, and their masks, into tiles, and write a card for them.

    Args:
        card: Card of a data set whose splits all have masks, and no other source of labels.
        root: Folder of the data.
        out: Folder to write, new or empty; it gets this name when it is complete.
        options: Size, stride and pixel size of the tiles.

    Examples:
        >>> tile_images(load_card("bcss"), Path("BCSS"), Path("BCSS-tiles")).dataset  # doctest: +SKIP
        'bcss'
    """
    _check(card, options)
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty. Choose a new folder.")
    splits = _present(card, root)
    tree = _card_of_tiles(card, options, splits)
    tiled = parse(Card, tree, f"The card of {out.name}")
    tiles, cut = dict.fromkeys(splits, 0), 0
    with atomic_path(out) as temporary:
        for name, records in splits.items():
            rows: list[dict[str, object]] = []
            for record in track(records, f"cutting {name}"):
                for tile in cut_image(card, record, options):
                    cut += 1
                    if (tile[3] != IGNORE).any():
                        rows.append(_write(tiled, temporary / name, record, tile))
            if card.split(name).part == TRAIN:
                write_csv(temporary / name / TABLE, rows, ["file", "patient", *card.names])
            tiles[name] = len(rows)
        write_text(temporary / CARD, HEADER + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))
    images = {name: len(records) for name, records in splits.items()}
    return CutReport(card.name, str(out), tiles, images, cut - sum(tiles.values()))


def cut_image(card: Card, record: Record, options: CutOptions) -> Iterator[Tile]:
    """Yield the tiles of one image; each label is that at the centre of the tile's pixel, and ignored outside."""
    from monai.transforms.compose import Compose

    from qaclims_path.slides.streaming import iter_tiles
    from qaclims_path.slides.transforms import LoadSlided, TileGridd

    own = card.mpp or 1.0
    mpp = options.mpp or own
    path = cast("ImageFile", record.image).path
    lattice = TileGridd("slide", size=options.size, stride=options.stride, mpp=mpp, pad=True)
    item: Any = Compose([LoadSlided("slide"), lattice])({"slide": str(path), "mpp": own})
    labels = truth_of(card, record)
    with item["slide"] as slide:
        width, height = slide.info.levels[0].width, slide.info.levels[0].height
        if labels.shape != (height, width):
            raise BadFile(f"{record.mask} is {labels.shape[1]} x {labels.shape[0]} pixels, {path} {width} x {height}.")
        grid = item["grid"]
        for index, pixels in iter_tiles(slide, grid):
            x, y = int(grid.x[index]), int(grid.y[index])
            yield x, y, pixels, _labels(labels, x, y, options.size, mpp / own)


def _labels(labels: NDArray[np.uint8], x: int, y: int, size: int, step: float) -> NDArray[np.uint8]:
    """Read the labels (size size) at the centres of the pixels of a tile; those outside are ignored."""
    centres = (np.arange(size) + 0.5) * step
    rows, columns = (np.floor(start + centres).astype(int) for start in (y, x))
    rows, columns = rows[rows < labels.shape[0]], columns[columns < labels.shape[1]]
    tile = np.full((size, size), IGNORE, np.uint8)
    tile[: len(rows), : len(columns)] = labels[np.ix_(rows, columns)]
    return tile


def _write(card: Card, folder: Path, record: Record, tile: Tile) -> dict[str, object]:
    """Write pixels and mask of a tile; returns its row of the table."""
    x, y, pixels, labels = tile
    name = f"{record.id}_x{x}_y{y}.png"
    for inner in ("images", "masks"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    write_image(folder / "images" / name, pixels)
    write_mask(folder / "masks" / name, card.encode(labels), card.code_palette)
    present = classes_in(card, labels)
    bits = {called: int(index in present) for index, called in enumerate(card.names)}
    return {"file": name, "patient": record.patient or "", **bits}


def _card_of_tiles(card: Card, options: CutOptions, present: Mapping[str, object]) -> dict[str, Any]:
    """Make the card of the tiles as a tree: facts and classes of the images, and codes and splits of its own."""
    kept = card.model_dump(mode="json", exclude_defaults=True, exclude={"codes", "splits", "label_order", "published"})
    codes = {"0": BACKGROUND_NAME} if card.background is not None else {}
    codes |= {str(code): name for code, name in enumerate(card.names, start=1)}
    splits: dict[str, Any] = {}
    for name in present:
        images = {"part": card.split(name).part, "images": [f"{name}/images"]}
        masked = {"supervision": "masks", "masks": [f"{name}/masks"], "labels_from": "masks"}
        if images["part"] == TRAIN:
            splits[f"{name}{DRAWN}"] = deepcopy(images) | masked | {"supervised": True}
            masked = {"supervision": "labels", "labels_from": "table", "labels": [f"{name}/{TABLE}"]}
        splits[name] = images | masked
    about = {"name": f"{card.name}-tiles", "title": f"Tiles of {card.name}", "format": "folder"}
    size = {"image_size": [options.size, options.size]} | ({"mpp": options.mpp} if options.mpp else {})
    return {**kept, **about, **size, "codes": {**codes, str(IGNORE): IGNORE_NAME}, "splits": splits}


def _present(card: Card, root: Path) -> dict[str, list[Record]]:
    """Return the records of the splits that are there; the error of the first split if none is."""
    found, absent = {}, []
    for name in card.splits:
        try:
            found[name] = list_records(card, root, name)
        except SplitAbsent as error:
            absent.append(error)
    if not found:
        raise absent[0]
    return found


def _check(card: Card, options: CutOptions) -> None:
    other = [name for name, split in card.splits.items() if not split.masks or split.labels_from != "masks"]
    if other or card.format not in ("beside", "folder", "filename_labels"):
        reason = (
            f"the split '{other[0]}' has no masks, or labels of its own" if other else f"of the format {card.format}"
        )
        raise UsageError(
            f"Tiles get their labels from masks, so '{card.name}' cannot be cut: {reason}. Whole slides are tiled by "
            "`qaclims slides tile`."
        )
    if options.mpp is not None and card.mpp is None:
        raise UsageError(
            f"The card '{card.name}' does not say how large its pixels are, so --mpp cannot be kept. Leave it out, and "
            "tiles have the pixels of the images."
        )
