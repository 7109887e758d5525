"""Time the start: `import qaclims_path` (limit 0.1 s) and `qaclims --help` (limit 0.5 s).

    .venv/bin/python scripts/bench/start.py

Medians over fresh interpreters. The time of Python alone is shown, and subtracted from the import.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 15


def median_seconds(*arguments: str) -> float:
    """Return the median wall time of a fresh interpreter."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    bare = median_seconds("-c", "pass")
    imported = median_seconds("-c", "import qaclims_path")
    helped = median_seconds("-m", "qaclims_path", "--help")
    print("| what | median | limit |")
    print("|---|---|---|")
    print(f"| python alone | {bare:.3f} s | |")
    print(f"| import qaclims_path, without python | {imported - bare:.3f} s | 0.1 s |")
    print(f"| qaclims --help | {helped:.3f} s | 0.5 s |")


if __name__ == "__main__":
    main()
