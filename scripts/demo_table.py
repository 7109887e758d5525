"""The rows of several demos as one Markdown table: means over seeds, and how far each seed is from the control.

for seed in 0 1 2; do qaclims demo --controls --seed $seed --out demo-$seed; done
python scripts/demo_table.py demo-0 demo-1 demo-2
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

WHATS = {"cams": "CAM", "masks": "pseudo mask", "seg": "segmenter"}
Scores = dict[tuple[str, str], list[tuple[float, float | None]]]


def main() -> None:
    """Read the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+", help="folders of `qaclims demo`")
    scores = read([demo / "scores.csv" for demo in parser.parse_args().demos])
    print(f"| row | {' | '.join(f'{title} | gain' for title in WHATS.values())} |")
    print(f"|---|{'---|---|' * len(WHATS)}")
    for row in dict.fromkeys(row for _, row in scores):
        cells = [cell for what in WHATS for cell in told(scores.get((what, row), []))]
        print(f"| {row} | {' | '.join(cells)} |")


def read(paths: list[Path]) -> Scores:
    """By step and row, for each seed: the mIoU and how far it is from that of the control, in points."""
    found: Scores = defaultdict(list)
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                apart = 100 * float(line["difference"]) if line["difference"] else None
                found[line["what"], line["method"]].append((100 * float(line["miou"]), apart))
    return found


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
