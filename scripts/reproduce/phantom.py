"""Paint the phantom set: tiles of patients that no embedded model has seen."""

from pathlib import Path

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import DEMO
from qaclims_path.data.phantoms.tiles import phantom_tiles
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.files.made_with import made_with, refuse_foreign
from qaclims_path.files.progress import track

PATIENTS = {"train": 20, "val": 10}
TILES = 8  # of a patient
QUICK = {"train": 1, "val": 1}
MARK = "painted.json"


def tiles_of(split: str, *, quick: bool) -> int:
    """Number of tiles of 224 px of a split; the training tiles are written with their masks, too."""
    return (QUICK if quick else PATIENTS)["train" if split == "supervised" else split] * TILES


def paint(card: Path, root: Path, *, quick: bool) -> None:
    """Paint training and validation tiles, unless they exist.

    Args:
        card: File of the card.
        root: Folder of the tiles, beside the runs on them.
        quick: Paint few tiles.

    Raises:
        UsageError: The folder holds other tiles.
    """
    counts = QUICK if quick else PATIENTS
    mark = {"seed": DEMO.seed, "stains": [*DEMO.stains], "patients": counts, "tiles of each": TILES}
    if root.exists():
        refuse_foreign(root / MARK, "this script")
        made_with(root / MARK, mark, f"Choose another --out, or remove {root.parent} with its runs.")
        return
    found, names = load_card(card), iter(DEMO.patients(sum(counts.values())))
    with atomic_path(root) as temporary:
        temporary.mkdir()
        for split, count in counts.items():
            patients = [next(names) for _ in range(count)]
            made = phantom_tiles(DEMO.seed, patients, TILES, stains=DEMO.stains)
            items = list(track(made, f"painting {split}", total=count * TILES))
            for part in (split, *(("supervised",) if split == "train" else ())):
                write_split(found, temporary, part, items)
        write_json(temporary / MARK, mark)
