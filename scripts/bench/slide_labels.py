"""Measure how maps learn from labels of whole slides, on painted slides that lack classes.

    python scripts/bench/slide_labels.py [--out FOLDER] [--seeds 3] [--slides 24] [--tiles 16] [--epochs 20]

Each training slide lacks one or two of the four classes. Plain maps are trained three times on the same tiles:

- tile: each tile has its own label;
- copied: each tile has the label of its slide, as if it showed every class of it;
- pooled: the same labels, taken for those of slides (`cam.labels.of=slide`).

Maps are scored on tiles of other slides, which have every class, without a gate. The bar: `pooled` closes half of the
gap between `copied` and `tile` in mean IoU, averaged over seeds, which change tissue and training. Finished runs in
FOLDER are kept.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

from bench.timing import conditions, exit_with
from qaclims_path.data.cards import load_card
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.phantoms.stain import FAMILIES
from qaclims_path.data.phantoms.tiles import phantom_tiles
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.images import write_image, write_mask
from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run
from qaclims_path.pipeline.run.steps import Run

SIDE, MPP = 112, 1.0
PRESENT_FROM = 0.05
HALF = 0.5
ARMS = {"tile": ("tiles", "tile"), "copied": ("slides", "tile"), "pooled": ("slides", "slide")}  # labels, their meaning
CARD = load_card("phantom")
NETWORK = ["cam.network={backbone: test_resnet, stride: 16, weights: none, head_factor: 1.0}", "cams.scales=[1.0]"]
TRAIN = (
    "cam.train={{epochs: {}, batch: 32, optimizer: adamw, lr: 0.001, weight_decay: 0.01, schedule: cosine, clip: 1.0}}"
)


def paint(root: Path, seed: int, slides: int, tiles: int) -> None:
    """Write tiles of training slides that lack classes, labelled by tile and by slide, and tiles to score."""
    without = [left for number in (1, 2) for left in combinations(CARD.names, number)]
    names = [f"MT{seed}{number:03d}" for number in range(slides)]
    training = phantom_tiles(seed, names, tiles, SIDE, mpp=MPP, stains=list(FAMILIES), without=without)
    rows = list(_written(root / "train" / "images", training))
    columns = ["file", "patient", "slide", *CARD.names]
    write_csv(root / "train" / "tiles.csv", rows, columns)
    write_csv(root / "train" / "slides.csv", _copied(rows), columns)
    others = [f"MV{seed}{number:03d}" for number in range(8)]
    for number, item in enumerate(phantom_tiles(seed, others, 12, SIDE, mpp=MPP, stains=list(FAMILIES))):
        write_image(root / "val" / "images" / f"{number}.png", item.image)
        write_mask(root / "val" / "masks" / f"{number}.png", item.labels, CARD.code_palette)
    for labels in ("tiles", "slides"):
        (root / f"{labels}.yaml").write_text(yaml.safe_dump(_card(labels)))


def _written(folder: Path, items: Iterator[FakeItem]) -> Iterator[dict[str, object]]:
    for number, item in enumerate(items):
        name = f"{item.patient}_{number}.png"
        write_image(folder / name, item.image)
        shares = {called: (item.labels == code).mean() for code, called in enumerate(CARD.names)}
        present = {called: int(share >= PRESENT_FROM) for called, share in shares.items()}
        yield {"file": name, "patient": item.patient, "slide": item.patient, **present}


def _copied(rows: Sequence[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Give every tile the classes of all tiles of its slide."""
    for row in rows:
        alike = [other for other in rows if other["slide"] == row["slide"]]
        yield row | {called: int(any(other[called] for other in alike)) for called in CARD.names}


def _card(labels: str) -> dict[str, object]:
    return {
        "extends": "folder",
        "name": f"painted-{labels}",
        "domain": "pathology",
        "demonstration": "painted tissue",
        "classes": [{"name": info.name, "color": list(info.color)} for info in CARD.classes],
        "codes": {**dict(enumerate(CARD.names)), 4: "background"},
        "splits": {"train": {"labels": [f"train/{labels}.csv"]}, "test": None},
    }


def score(root: Path, out: Path, arm: str, seed: int, epochs: int, more: Sequence[str]) -> float:
    """Train and score the maps of one arm; returns the mean IoU in percent."""
    labels, of = ARMS[arm]
    settings = [*NETWORK, TRAIN.format(epochs), "cam.augment.size=112", "evaluate.what=[cams]", f"seed={seed}"]
    settings += [f"dataset={root / labels}.yaml", f"cam.labels.of={of}", *(more if of == "slide" else ())]
    running = RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, loggers=(), quiet=True)
    report = do_run(Run(load_run("folder/cam", settings, root), root, out, running=running))
    return 100 * float(report.metrics[0]["scores"]["miou"])


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return the mean IoU of every arm, seed by seed."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for seed in range(1, arguments.seeds + 1):
        root = folder / f"data-{seed}"
        if not (root / "slides.yaml").is_file():
            paint(root, seed, arguments.slides, arguments.tiles)
        for arm in ARMS:
            out = folder / f"{arm}-{seed}"
            found[arm].append(score(root, out, arm, seed, arguments.epochs, arguments.set or ()))
            print(f"seed {seed}, {arm}: mIoU {found[arm][-1]:.1f} %", flush=True)
    return found


def closed(found: dict[str, list[float]]) -> float:
    """Return the share of the gap between copied labels and labels of tiles that pooling closes."""
    mean = {arm: statistics.mean(values) for arm, values in found.items()}
    gap = mean["tile"] - mean["copied"]
    return (mean["pooled"] - mean["copied"]) / gap if gap > 0 else float(np.inf)


def main() -> None:
    """Measure, print a table and the share of the gap, and exit with 1 below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder that is kept; a temporary one if not given")
    for name, default in (("seeds", 3), ("slides", 24), ("tiles", 16), ("epochs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--set", action="append", help="a setting of the pooled arm, such as cam.labels.sharpness=4")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        found = measure(arguments.out or Path(temporary), arguments)
    print(conditions("torch"))
    for arm, values in found.items():
        each = ", ".join(f"{value:.1f}" for value in values)
        print(f"{arm:<8} mean {statistics.mean(values):.1f} ({each})")
    share = closed(found)
    print(f"pooled closes {share:.0%} of the gap")
    print(json.dumps({arm: [round(value, 2) for value in values] for arm, values in found.items()}))
    exit_with([] if share >= HALF else [f"half of the gap ({share:.0%})"])


if __name__ == "__main__":
    main()
