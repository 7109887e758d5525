"""The rows of several demos as one Markdown table: means over seeds, and how far each seed is from the control.

for seed in 0 1 2; do qaclims demo --controls --seed $seed --out demo-$seed; done
python scripts/reproduce/demo_table.py demo-0 demo-1 demo-2
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.json_files import read_object
from qaclims_path.files.tables import read_csv

WHATS = {"cams": "CAM", "masks": "pseudo mask", "seg": "segmenter"}
REMEDY = "Give folders of demos that are done: `qaclims demo --out FOLDER`."
Scores = dict[tuple[str, str], list[tuple[float, float | None]]]


def main() -> None:
    """Read the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+", help="folders of `qaclims demo`")
    demos = parser.parse_args().demos
    try:
        check_alike(demos)
        against, scores = read(demos)
    except QaclimsError as error:
        raise SystemExit(str(error)) from error
    print(f"Gains are in points of mIoU against {against}, seed by seed.\n")
    print(f"| row | {' | '.join(f'{title} | gain' for title in WHATS.values())} |")
    print(f"|---|{'---|---|' * len(WHATS)}")
    for row in dict.fromkeys(row for _, row in scores):
        cells = [cell for what in WHATS for cell in told(scores.get((what, row), []))]
        print(f"| {row} | {' | '.join(cells)} |")


def check_alike(demos: list[Path]) -> None:
    """Refuse demos that differ in more than their seeds, or do not differ in them."""
    sizes: dict[Path, dict[str, object]] = {}
    seeds: dict[object, Path] = {}
    for demo in demos:
        size = read_object(demo / "demo.json", REMEDY)
        seed = size.pop("seed", None)
        sizes[demo] = size
        if size != sizes[demos[0]]:
            raise UsageError(f"{demos[0]} and {demo} are of different sizes, and no mean is taken of them.")
        if seed in seeds:
            raise UsageError(f"{seeds[seed]} and {demo} both have the seed {seed}. Give one of them.")
        seeds[seed] = demo


def read(demos: list[Path]) -> tuple[str, Scores]:
    """What gains are against; and by step and row, for each seed: the mIoU and its gain, in points."""
    found: Scores = defaultdict(list)
    against: dict[str, None] = {}
    for demo in demos:
        for line in lines_of(demo / "scores.csv"):
            apart = 100 * float(line["difference"]) if line["difference"] else None
            found[line["what"], line["method"]].append((100 * float(line["miou"]), apart))
            against |= {line["against"]: None} if line["against"] else {}
    if len(against) > 1:
        raise UsageError(f"Gains are against {' and '.join(against)}, which is not one thing. Give demos of one kind.")
    return "".join(against) or "nothing", found


def lines_of(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a table, each of which has a score."""
    if not path.is_file():
        raise UsageError(f"{path} is not there yet. {REMEDY}")
    for line in read_csv(path, ("what", "method", "miou", "against", "difference")):
        if not line["miou"]:
            raise UsageError(f"{path} has no mIoU of {line['method']} ({line['what']}). {REMEDY}")
        yield line


def told(values: list[tuple[float, float | None]]) -> tuple[str, str]:
    """Mean and standard deviation over seeds, and the mean gain with that of every seed."""
    if not values:
        return "", ""
    mious, gains = [miou for miou, _ in values], [gain for _, gain in values if gain is not None]
    spread = f" ± {stdev(mious):.1f}" if len(mious) > 1 else ""
    each = f"{mean(gains):+.1f} ({', '.join(f'{gain:+.1f}' for gain in gains)})" if gains else ""
    return f"{mean(mious):.1f}{spread}", each


if __name__ == "__main__":
    main()
