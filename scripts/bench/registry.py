"""Time the listing of a split of many files; no image is opened, so the files are empty.

Run: .venv/bin/python scripts/bench/registry.py [--files 100000]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records


def main() -> None:
    """Print a Markdown table: seconds from card and folder to records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"| layout | card, split | records | median of {options.repeats} (s) |")
    print("|---|---|---|---|")
    for layout, name, split, build in (
        ("labels in file names", "bcss-wsss", "train", bits_in_names),
        ("images, masks of the same names", "bcss-wsss", "val", images_and_masks),
        ("folder + CSV", "folder", "train", folder_and_table),
        ("VOC list + cls_labels.npy", "voc2012", "train_aug", voc_list),
    ):
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), options.files)
            seconds, found = [], 0
            for _ in range(options.repeats):
                start = time.perf_counter()
                found = len(list_records(load_card(name), Path(folder), split))
                seconds.append(time.perf_counter() - start)
            print(f"| {layout} | {name}, {split} | {found} | {statistics.median(seconds):.2f} |")


def bits_in_names(root: Path, count: int) -> None:
    """Make training patches with the names of BCSS-WSSS."""
    touch(root / "training", count, lambda i: f"TCGA-A1-{i % 151:04d}-DX1_xmin{i}_ymin0_MPP-0.2500+0[{i % 16:04b}].png")


def images_and_masks(root: Path, count: int) -> None:
    """Make validation patches of BCSS-WSSS: half of the files are masks."""
    for kind in ("img", "mask"):
        touch(root / "val" / kind, count // 2, lambda i: f"TCGA-A1-{i % 151:04d}-DX1_xmin{i}_ymin0_MPP-0.2500+0.png")


def folder_and_table(root: Path, count: int) -> None:
    """Make a generic folder with one table row per image."""
    classes = load_card("folder").names
    rows = [f"image_{i}.png,{i % 100}," + ",".join("1" * len(classes)) for i in range(count)]
    touch(root / "train" / "images", count, lambda i: f"image_{i}.png")
    table = load_card("folder").split("train").labels[0]
    (root / table).write_text(f"file,patient,{','.join(classes)}\n" + "\n".join(rows) + "\n")


def voc_list(root: Path, count: int) -> None:
    """Make a list of names and a pickled table of labels, as published for VOC."""
    card = load_card("voc2012")
    split = card.split("train_aug")
    touch(root / split.images[0], count, lambda i: f"2008_{i:06d}.jpg")
    path = root / split.list[0]
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"2008_{i:06d}\n" for i in range(count)))
    table = {np.int32(2008000000 + i): np.ones(len(card.classes), np.float32) for i in range(count)}
    np.save(root / split.labels[0], np.array(table, dtype=object), allow_pickle=True)


def touch(folder: Path, count: int, name: Callable[[int], str]) -> None:
    """Create empty files."""
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / name(i)).touch()


if __name__ == "__main__":
    main()
