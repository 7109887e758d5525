"""Compare what undrawn area means: parts of the tissue of painted slides are drawn, and both meanings are trained.

    python scripts/reproduce/annotations.py --out OUT
    python scripts/reproduce/annotations.py --out OUT --shares 0.25 --seeds 0

Of every class of a training slide a share of the area is drawn, in patches at random places. The slides are tiled with
`--annotations complete`, as if all were drawn, and with `--annotations sparse`; `cam` and a segmenter are trained on
either, and scored on slides of other patients, whose tissue is drawn completely. Stopped runs are resumed.
OUT/table.md has the mean mIoU of the maps and of the segmenters.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Literal, get_args

import numpy as np
import shapely

from qaclims_path.assets import EMBEDDED_WEIGHTS, embedded_model
from qaclims_path.config import settings_of
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.splits import DEMO
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.atomic import write_text
from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run
from qaclims_path.pipeline.run.steps import Run
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, tile

TRAIN, VAL, SIDE, MPP = 4, 2, 1344, 0.5  # slides of other patients; pixels; um per pixel
TILE, PATCH = 112, 336  # pixels: side of a tile, and largest side of a drawn patch
Meaning = Literal["complete", "sparse"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
ALL = 1.0  # share of the reference that is drawn completely
INEXACT = 0.02  # of the drawn share
WHATS = {"cams": "maps", "seg": "segmenter"}
BACKBONE = "test_resnet"
EPOCHS = {"cam.train.epochs": 10, "seg.train.epochs": 16}
Scores = dict[str, float]
Found = dict[tuple[float, Meaning, int], Scores]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do all runs, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of all results")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25, 0.5], help="drawn shares of each class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of tissue, drawings, trainings")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], help="settings of all runs")
    options = parser.parse_args(arguments)
    out, found = options.out.absolute(), Found()
    rows: list[tuple[float, Meaning]] = [*product(options.shares, MEANINGS), (ALL, "complete")]
    for seed, (share, meaning) in product(options.seeds, rows):
        found[share, meaning, seed] = scores_of(out / f"seed{seed}", share, meaning, seed, options.settings)
        write_text(out / "table.md", table(found))
    print(table(found))


def scores_of(folder: Path, share: float, meaning: Meaning, seed: int, settings: Sequence[str]) -> Scores:
    """Paint, draw, tile, train and score; mIoU in percent by what was scored."""
    slides = paint(folder / "slides", seed)
    labels = folder / f"drawn-{share:g}"
    drawn = [draw_part(path, labels / path.name, share, seed) for path in sorted(slides.glob("*.geojson"))]
    write_csv(labels / "slides.csv", _listed(slides, drawn), ("slide", "patient", "split", "labels"))
    name = f"{share:g}-{meaning}"
    options = TileOptions(mpp=MPP, size=TILE, stride=TILE, write="png", masks=True, annotations=meaning)
    tiles = folder / f"tiles-{name}"
    tile(TileInputs((str(labels / "slides.csv"),)), tiles, options)
    weights = embedded_model("judge") / EMBEDDED_WEIGHTS["judge"]
    changed: dict[str, object] = {
        "dataset": str(tiles / "card.yaml"), "seed": seed, "evaluate.what": ["cams", "seg"], "masks.refiner": "par",
        "cam.network.backbone": BACKBONE, "cam.network.weights": str(weights), "cam.augment.size": TILE,
        "seg.augment.size": TILE, "seg.network.encoder": BACKBONE,
        "seg.network.settings": {"decoder_channels": [64, 48, 32, 24, 16]}, **EPOCHS,
    }  # fmt: skip
    out, running = folder / f"run-{name}", RunSettings(precision="fp32", loggers=("csv",), workers=0)
    first = Run(load_run("phantom/cam", [*settings_of(changed), *settings]), tiles, out, running=running)
    do_run(first, only="cam", say=print)
    changed["seg.network.weights"] = str(out / "cam")  # the segmenter starts from the network of the maps
    both = replace(first, options=load_run("phantom/cam", [*settings_of(changed), *settings]))
    return {entry["what"]: 100 * entry["scores"]["miou"] for entry in do_run(both, say=print).metrics}


def paint(folder: Path, seed: int) -> Path:
    """Paint the slides of a seed with their complete annotations, unless they exist."""
    for number, name in enumerate(DEMO.patients(TRAIN + VAL)):
        if not (folder / f"{name}.tiff").exists():
            stain = DEMO.stains[number % len(DEMO.stains)]
            write_slide(folder, name, PhantomSpec(DEMO.seed + seed, SIDE, SIDE, MPP, name, stain))
    return folder


def _listed(slides: Path, drawn: Sequence[Path]) -> Iterator[dict[str, str]]:
    """Yield the rows of a slide list: training slides with a part of their annotations, others with all."""
    for number, path in enumerate(drawn):
        name = path.stem
        split = "train" if number < TRAIN else "val"
        labels = path if split == "train" else slides / path.name
        yield {"slide": str(slides / f"{name}.tiff"), "patient": name, "split": split, "labels": str(labels)}


def draw_part(source: Path, target: Path, share: float, seed: int) -> Path:
    """Write the part of an annotation file that somebody may have drawn: patches that hold a share of each class."""
    tree = json.loads(source.read_text(encoding="utf-8"))
    by_class: dict[str, list[dict[str, object]]] = {}
    for feature in tree["features"]:
        by_class.setdefault(feature["properties"]["classification"]["name"], []).append(feature)
    rng = np.random.default_rng([seed, *source.stem.encode()])
    features = []
    for parts in by_class.values():
        area = shapely.union_all([shapely.geometry.shape(part["geometry"]) for part in parts])
        piece = area if share >= ALL else part_of(area, share, rng)
        geometry = json.loads(shapely.to_geojson(piece))
        features.append({**parts[0], "geometry": geometry})
    write_text(target, json.dumps({"type": "FeatureCollection", "features": features}))
    return target


def part_of(area: shapely.Geometry, share: float, rng: np.random.Generator) -> shapely.Geometry:
    """Return a share of an area that lies in square patches at random places; the last ones are small enough to fit."""
    left, top, right, bottom = area.bounds
    wanted, drawn = share * area.area, shapely.Polygon()
    while drawn.area < (1 - INEXACT) * wanted:
        x, y = rng.uniform(left - PATCH / 2, right - PATCH / 2), rng.uniform(top - PATCH / 2, bottom - PATCH / 2)
        boxes = (shapely.box(x, y, x + side, y + side) for side in np.linspace(PATCH, 0, 25)[:-1])
        larger = (shapely.union(drawn, shapely.intersection(area, box)) for box in boxes)
        drawn = next((each for each in larger if each.area <= wanted), drawn)
    parts = shapely.get_parts(shapely.get_parts(drawn))  # where a patch only touches the area, it adds a line
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def table(found: Found) -> str:
    """Return the scores as a Markdown table: means over seeds, and what `sparse` adds in each seed."""
    lines = [
        f"| drawn | {' | '.join(f'{title}: complete | sparse | gain' for title in WHATS.values())} |",
        f"|---:|{'---:|---:|:---|' * len(WHATS)}",
    ]
    seeds = sorted({seed for _, _, seed in found})
    for share in dict.fromkeys(share for share, _, _ in found):
        cells = [cell for what in WHATS for cell in _cells(found, share, what, seeds)]
        lines.append(f"| {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(found: Found, share: float, what: str, seeds: Sequence[int]) -> tuple[str, str, str]:
    """Mean of both meanings over the seeds that are done, and the gain."""
    done = {meaning: [found[share, meaning, seed][what] for seed in seeds if (share, meaning, seed) in found]
            for meaning in MEANINGS}  # fmt: skip
    means = tuple(f"{mean(values):.1f}" if values else "" for values in done.values())
    gains = [new - old for old, new in zip(*done.values(), strict=False)]
    told = f"{mean(gains):+.1f} ({', '.join(f'{gain:+.1f}' for gain in gains)})" if gains else ""
    return means[0], means[1], told


if __name__ == "__main__":
    main()
