"""Measure memory and time of a corpus of a million lines: reading, resuming, statistics, comparison; a process each.

Run: python scripts/bench/corpus.py [--lines 1000000]
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qaclims_path.language.corpus import CorpusAnswer, Entry, read_corpus
from qaclims_path.language.corpus_writer import CorpusWriter

LABELS = ("tumor", "stroma")


def write(path: Path, lines: int) -> None:
    """Write a corpus with five answers per line."""
    with CorpusWriter(path) as writer:
        for number in range(lines):
            numbers = [(i, i * number % 50) for i in range(5)]
            answers = tuple(CorpusAnswer(f"What is it, {i}?", f"Answer {n}", f"answer {n}", -0.5) for i, n in numbers)
            writer.write(
                [Entry(f"image{number // 2}", LABELS[number % 2], answers[:3], answers[3:], {"answerer": "toy"})]
            )
        writer.finish()


def reading(path: Path, _: int) -> None:
    """Read every entry, one at a time."""
    for _entry in read_corpus(path):
        pass


def resuming(path: Path, lines: int) -> None:
    """Resume an interrupted build."""
    part = path.rename(path.with_name(f"{path.name}.part"))
    with CorpusWriter(path) as writer:
        writer.resume([(f"image{number // 2}", LABELS[number % 2])] for number in range(lines))
    part.rename(path)


def counting(path: Path, _: int) -> None:
    """Run `qaclims corpus stats`."""
    from qaclims_path.pipeline.corpus.stats import corpus_stats

    corpus_stats(path)


def comparing(path: Path, _: int) -> None:
    """Run `qaclims corpus diff`."""
    from qaclims_path.pipeline.corpus.diff import corpus_diff

    corpus_diff(path, path)


def measured(work: Callable[[Path, int], None], path: Path, lines: int) -> None:
    """Print the time and the peak memory of one function."""
    start = time.perf_counter()
    work(path, lines)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{work.__name__:<10} {time.perf_counter() - start:7.1f} s   {peak:6.0f} MB peak", flush=True)


def main() -> None:
    """Measure all functions, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.jsonl"
        write(path, lines)
        print(f"{lines} lines, {path.stat().st_size / 1e6:.0f} MB")
        for work in (reading, resuming, counting, comparing):
            process = multiprocessing.get_context("spawn").Process(target=measured, args=(work, path, lines))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
