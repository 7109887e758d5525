"""Measure the settings of the released code against ours on the VOC 2012 animal subset: maps and pseudo masks.

    python scripts/bench/published.py --data DIR --out FOLDER [--seeds 0 1 2] [--modes published] [--masks 0]

The rows `start` (plain maps), `clims` and `qa-clims` of `scripts/reproduce` are trained as their recipes say and with
`published: true`. The network, the judge, the optimiser and its rates, the weights of the losses and the size of images
are those of the recipes in both, because the released ones are for ResNet-50, CLIP and ten thousand steps. Masks are
refined with a boundary network on crops of 256 px (`irn`). `DIR` is as in `scripts/reproduce`. Maps are scored on the
validation images with the image-level labels. Finished runs in FOLDER are kept, and a stopped one is resumed.
"""

import argparse
import os
import sys
from itertools import product
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above
sys.path.append(str(Path(__file__).resolve().parents[1] / "bridge_judge"))

from qaclims_bridge import register

from bench.timing import conditions
from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run
from qaclims_path.pipeline.run.steps import Run

SCRIPTS = Path(__file__).resolve().parents[1]
Found = dict[tuple[str, str], dict[str, dict[int, float]]]  # score by row and what, mode, seed
ROWS = "start", "clims", "qa-clims"
MODES = "default", "published"
REPRODUCE = SCRIPTS / "reproduce"
WEIGHTS = "weights/mobilenetv2_100.imagenet.safetensors"
KEPT = (  # of the recipes, above `published: true`
    "cam.network.backbone=mobilenetv2_100",
    "cam.train={optimizer: adamw, lr: 0.0001, weight_decay: 0.01, schedule: cosine, clip: 1.0}",
    "judge.id=bridge:mobilenet_v2_1001",
    "masks.boundary.backbone=mobilenetv2_100",
)


def settings_for(data: Path, out: Path, row: str, mode: str, seed: int, *, masks: bool) -> list[str]:
    """Return the settings of a run, which lie above the published ones."""
    weights = data / WEIGHTS
    found = ["masks.refiner=irn", "masks.threshold=protocol", "masks.boundary.size=256", f"seed={seed}"]
    found += [f"cam.network.weights={weights}", f"evaluate.what=[{'cams,masks' if masks else 'cams'}]"]
    if row != "start":
        found.append(f"cam.init.start={folder_of(out, 'start', mode, seed) / 'cam'}")
    if mode == "published":
        found += ["published=true", *KEPT, f"masks.boundary.weights={weights}"]
    return found


def folder_of(out: Path, row: str, mode: str, seed: int) -> Path:
    """Return the folder of a run."""
    return out / mode / row / f"seed{seed}"


def scores_of(data: Path, out: Path, row: str, mode: str, seed: int, *, masks: bool) -> dict[str, float]:
    """Run, and return the mean IoU in percent of maps and masks."""
    settings = settings_for(data, out, row, mode, seed, masks=masks)
    running = RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, loggers=("csv",))
    options = load_run(REPRODUCE / "recipes" / "voc-animals" / f"{row}.yaml", settings, data / "voc2012")
    report = do_run(Run(options, data / "voc2012", folder_of(out, row, mode, seed), running=running))
    return {entry["what"]: 100 * float(entry["scores"]["miou"]) for entry in report.metrics}


def table_of(found: Found) -> list[str]:
    """Return the lines of a Markdown table: scores by seed in both modes, and the difference of their means."""
    lines = ["| row | what | default | published | difference |", "|---|---|---|---|---:|"]
    for (row, what), modes in found.items():
        cells = [
            f"{mean(scores.values()):.1f} ({_listed(scores)})" for scores in (modes.get(mode, {}) for mode in MODES)
        ]
        change = mean(modes["published"].values()) - mean(modes["default"].values())
        lines.append(f"| `{row}` | {what} | {' | '.join(cells)} | {change:+.1f} |")
    return lines


def _listed(scores: dict[int, float]) -> str:
    return ", ".join(f"{score:.1f}" for score in scores.values())


def main() -> None:
    """Run every row in both modes, and print a table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--masks", type=int, nargs="*", default=[0, 1, 2], help="seeds whose masks are made, too")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out.resolve()
    os.environ["QACLIMS_DATA"] = str(data)
    os.chdir(SCRIPTS.parent)  # recipes name their cards and words from here
    register()
    found: Found = {}
    for seed, mode, row in product(arguments.seeds, arguments.modes, ROWS):
        for what, score in scores_of(data, out, row, mode, seed, masks=seed in arguments.masks).items():
            found.setdefault((row, what), {}).setdefault(mode, {})[seed] = score
            print(f"seed {seed}, {mode}, {row}, {what}: {score:.1f}", flush=True)
    print(conditions("torch"))
    if set(arguments.modes) == {*MODES}:
        print("\n".join(table_of(found)))


if __name__ == "__main__":
    main()
