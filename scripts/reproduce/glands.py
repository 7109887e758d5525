"""Training data of the judge of glands: patches of GlaS and WSSS4LUAD, in one folder with one table of labels.

Nearly every GlaS patch holds stroma, one in ten only stroma, and none only glands, so they hardly teach the difference.
WSSS4LUAD does: its tumor is glandular epithelium, and some of its patches hold only that, or only stroma.
"""

from pathlib import Path

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.images import write_image
from qaclims_path.files.progress import track
from qaclims_path.files.tables import write_csv

CLASSES = "gland", "stroma", "normal_lung"
GLAS = {"benign_gland": "gland", "malignant_gland": "gland"}  # every patch has stroma, too
LUAD = {"tumor": "gland", "stroma": "stroma", "normal": "normal_lung"}


def gather(cards: Path, data: Path, out: Path) -> None:
    """Copy the training patches of both sets and write their image-level labels, unless that is done.

    Args:
        cards: Folder of the cards.
        data: Folder with `glas` and `wsss4luad`.
        out: Folder of `images` and `labels.csv`, as `cards/glands.yaml` describes it.
    """
    if out.is_dir():
        return
    parts = ("glas-patches", "glas", GLAS, {"stroma"}), ("wsss4luad-ceiling", "wsss4luad", LUAD, set[str]())
    with atomic_path(out) as temporary:
        (temporary / "images").mkdir(parents=True)
        rows = []
        for name, folder, means, always in parts:
            card = load_card(cards / f"{name}.yaml")
            for record in track(list_records(card, data / folder, "train"), f"copying {folder}"):
                held = always | {means[card.names[label]] for label in record.present or ()}
                file = f"{folder}-{record.id}.png"
                write_image(temporary / "images" / file, record.image.pixels())
                labels = {label: int(label in held) for label in CLASSES}
                rows.append({"file": file, "patient": f"{folder}-{record.patient}", **labels})
        write_csv(temporary / "labels.csv", rows, ["file", "patient", *CLASSES])
