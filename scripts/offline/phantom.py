"""The painted set: tiles of the patients that no embedded model has seen."""

from pathlib import Path

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import DEMO
from qaclims_path.data.phantoms.tiles import phantom_tiles
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track

PATIENTS = {"train": 20, "val": 10}
TILES = 8  # of a patient
QUICK = {"train": 1, "val": 1}


def paint(card: Path, root: Path, *, quick: bool) -> None:
    """Paint training and validation tiles; those that are trained on lie there with their masks, too."""
    if root.exists():
        return
    found, counts = load_card(card), QUICK if quick else PATIENTS
    names = iter(DEMO.patients(sum(counts.values())))
    with atomic_path(root) as temporary:
        temporary.mkdir()
        for split, count in counts.items():
            patients = [next(names) for _ in range(count)]
            made = phantom_tiles(DEMO.seed, patients, TILES, stains=DEMO.stains)
            items = list(track(made, f"painting {split}", total=count * TILES))
            for part in (split, *(("supervised",) if split == "train" else ())):
                write_split(found, temporary, part, items)
