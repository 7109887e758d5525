"""Print the rows of several demos as one Markdown table: means over seeds, and the gain of each seed.

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
REMEDY = "Give folders of finished demos: `qaclims demo --out FOLDER`."
Scores = dict[tuple[str, str], list[tuple[float, float | None]]]


def main() -> None:
    """Read the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+", help="folders of `qaclims demo`")
    demos = parser.parse_args().demos
    try:
        check_comparable(demos)
        against, scores = read(demos)
    except QaclimsError as error:
        raise SystemExit(str(error)) from error
    print(f"Gains are in points of mIoU against {against}, seed by seed.\n")
    print(f"| row | {' | '.join(f'{title} | gain' for title in WHATS.values())} |")
    print(f"|---|{'---|---|' * len(WHATS)}")
    for row in dict.fromkeys(row for _, row in scores):
        cells = [cell for what in WHATS for cell in told(scores.get((what, row), []))]
        print(f"| {row} | {' | '.join(cells)} |")


def check_comparable(demos: list[Path]) -> None:
    """Refuse demos that differ in more than their seeds, or have the same seed."""
    sizes: dict[Path, dict[str, object]] = {}
    seeds: dict[object, Path] = {}
    for demo in demos:
        size = read_object(demo / "demo.json", REMEDY)
        seed = size.pop("seed", None)
        sizes[demo] = size
        if size != sizes[demos[0]]:
            raise UsageError(f"{demos[0]} and {demo} have different sizes, so they cannot be averaged.")
        if seed in seeds:
            raise UsageError(f"{seeds[seed]} and {demo} both have the seed {seed}. Give one of them.")
        seeds[seed] = demo


def read(demos: list[Path]) -> tuple[str, Scores]:
    """Name of the row that gains are measured against, and by step and row, for each seed: mIoU and gain in points."""
    found: Scores = defaultdict(list)
    against: dict[str, None] = {}
    for demo in demos:
        for line in lines_of(demo / "scores.csv"):
            apart = 100 * float(line["difference"]) if line["difference"] else None
            found[line["what"], line["method"]].append((100 * float(line["miou"]), apart))
            against |= {line["against"]: None} if line["against"] else {}
    if len(against) > 1:
        raise UsageError(f"Gains are against {' and '.join(against)}, different rows. Give demos of one kind.")
    return "".join(against) or "nothing", found


def lines_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield the lines of a table; each must have a score."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist. {REMEDY}")
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
