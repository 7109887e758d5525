"""Run every row on painted tissue and on the real sets that are available offline: with controls and intervals.

    python scripts/reproduce --data DIR --out DIR
    python scripts/reproduce --data DIR --out DIR --sets voc --rows cam+ qa-clims --seeds 1 --dry-run
    python scripts/reproduce --data DIR --out DIR --sets wsss4luad --ablate --set evaluate.what=[cams]
    python scripts/reproduce --data DIR --out DIR --judge hf-hub:wisdomik/QuiltNet-B-32 --sets wsss4luad glas

Each row and seed is the folder of a `qaclims run`, OUT/<set>/<row>/seed<N>, so a stopped script is resumed. All rows of
a set and seed start from the same plain network (`start`), and share backbone, schedule, augmentation, refiner and
segmenter. `control` has the groups of labels of the bridge's classifier as judge, without text. OUT/table.md is written
after every run.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from qaclims_path.compute.devices import Precision, fastest_precision
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.made_with import made_with
from qaclims_path.files.processes import end_with_parent
from reproduce.phantom import paint
from reproduce.pictures import draw_pictures
from reproduce.plan import (
    ABLATED,
    ABLATION,
    HERE,
    RETRIEVAL,
    ROWS,
    SETS,
    WEIGHTS,
    WORDLESS,
    Job,
    Plan,
    changes_nothing,
    estimate,
    rows_of,
    seconds_per_pass,
)
from reproduce.table import collect, write_tables
from reproduce.work import COUNTS, PROBE, do_job, do_judge

SEEDS = 5
MARK = "plan.json"
IMPORTS = ["qaclims_path.pipeline.run.pipeline", "qaclims_path.pipeline.judge.train"]  # of every run; 10 s and more


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments (those of the process if None), plan, run, and write the tables."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        data=options.data.resolve(),
        out=options.out.resolve(),
        judge=_found(options.judge),
        answerer=options.answerer,
        settings=tuple(options.set),
        quick=options.quick,
        precision=options.precision or _precision(),
    )
    torch.set_num_threads(options.threads)
    os.chdir(HERE.parents[1])  # recipes name their cards and words from here
    os.environ["QACLIMS_DATA"] = str(plan.data)
    try:
        rows = [ABLATED, *ABLATION] if options.ablate else options.rows
        jobs = _jobs(plan, options.sets, rows, options.seeds)
        _announce(plan, jobs)
        if options.dry_run:
            return 0
        _remember(plan)
        for job in {job.root: job for job in jobs if job.of.painted}.values():
            paint(job.card, job.root, quick=plan.quick)
        failed = _run(plan, jobs, options.threads)
    except QaclimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, why in failed.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return 3 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets and weights/")
    parser.add_argument("--out", type=Path, required=True, help="folder of all results")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=[*ROWS, *ABLATION])
    parser.add_argument(
        "--ablate", action="store_true", help="instead of --rows: qa-clims-path, unchanged and with one part changed"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="number of seeds, from 0")
    parser.add_argument("--judge", help="replaces the bridge and judges trained here, such as hf-hub:...")
    parser.add_argument("--answerer", default=RETRIEVAL, help="retrieval, blip, or blip:MODEL")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], help="the fastest of the hardware by default")
    parser.add_argument("--threads", type=_threads, default=os.cpu_count() or 1)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="a setting for every row")
    parser.add_argument("--quick", action="store_true", help="train one epoch, to test that everything runs")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and their estimated duration")
    return parser


def _threads(text: str) -> int:
    """Parse a number of threads."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of threads; give 1 or more.")
    return int(text)


def _found(judge: str | None) -> str | None:
    """Make the path of a judge absolute; a hub id stays as it is."""
    return str(Path(judge).resolve()) if judge and Path(judge).exists() else judge


def _remember(plan: Plan) -> None:
    """Refuse to put runs of different judges, answerers, settings or lengths into one table."""
    path = plan.out / MARK
    mark: dict[str, object] = {key: getattr(plan, key) for key in ("judge", "answerer", "quick", "precision")}
    mark["settings"] = sorted(each for each in plan.settings if not each.startswith("evaluate.what="))
    if not path.exists() and any(plan.out.glob(f"*/*/seed*/{COUNTS}")):
        raise UsageError(f"{plan.out} holds runs and no {MARK} that says how they were made. Choose another --out.")
    made_with(path, mark)


def _precision() -> Precision:
    """Precision of all runs; chosen by the hardware, because a measurement would not be reproducible."""
    return fastest_precision(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _jobs(plan: Plan, sets: list[str], rows: list[str], seeds: int) -> list[Job]:
    """List the jobs seed by seed, so that every row has a result early."""
    if not (plan.data / WEIGHTS).is_file():
        raise QaclimsError(
            f"{plan.data / WEIGHTS} does not exist; all rows start from it. Give its folder with --data."
        )
    if plan.answerer.partition(":")[0] != RETRIEVAL and not plan.judge and any(SETS[n].judge == "bridge" for n in sets):
        raise UsageError(
            f"The offline judge of photographs only knows names of objects; '{plan.answerer}' may answer other words. "
            "Name a judge with --judge, or leave voc out with --sets."
        )
    return [
        Job(plan, SETS[name], row, seed)
        for seed in range(seeds)
        for name in sets
        for row in (*rows_of(SETS[name]), *ABLATION)
        if row in rows and not changes_nothing(Job(plan, SETS[name], row, seed))
    ]


def _announce(plan: Plan, jobs: list[Job]) -> None:
    """Print the jobs and their estimated duration."""
    one_pass, total = seconds_per_pass(plan.precision), 0.0
    print(f"{len(jobs)} runs in {plan.out}, {plan.precision}, {1000 * one_pass:.0f} ms per pass of 224 px")
    for job in jobs:
        seconds = 0.0 if (job.out / COUNTS).is_file() else estimate(job, one_pass)
        total += seconds
        duration = f"about {seconds / 60:.1f} min" if seconds else "done, will be checked"
        print(f"  {job.of.name:10} {job.row:14} seed {job.seed}: {duration}")
    print(f"about {total / 3600:.1f} h in total, and the training of judges before")


def _judged(job: Job) -> bool:
    """Whether the judge exists and was probed."""
    return (job.plan.out / job.of.name / PROBE).is_file()


def _run(plan: Plan, jobs: list[Job], threads: int) -> dict[str, str]:
    """Run the jobs one after another, each in its own process; a failure does not stop the others."""
    failed: dict[str, str] = {}
    one_pass = seconds_per_pass(plan.precision)
    for number, job in enumerate(jobs, 1):
        name = f"{job.of.name}/{job.row}/seed{job.seed}"
        start, guess = time.monotonic(), estimate(job, one_pass)
        print(f"[{number}/{len(jobs)}] {name}: about {guess / 60:.1f} min", flush=True)
        why = (
            ""
            if job.row in WORDLESS or _judged(job)
            else _in_process(do_judge, Job(plan, job.of, "clims", job.seed), threads)
        )
        why = why or _in_process(do_job, job, threads)
        if why:
            failed[name] = why
            continue
        print(f"    took {(time.monotonic() - start) / 60:.1f} min", flush=True)
        write_tables(collect(plan, list(SETS)), plan)
    if any((job.out / COUNTS).is_file() for job in jobs):
        results = collect(plan, list(SETS))
        print(f"the table: {write_tables(results, plan)}")
        asked = {job.of.name for job in jobs}  # the data of other sets may be missing
        draw_pictures([each for each in results if each.job.of.name in asked], plan)
    return failed


def _in_process(work: Callable[[Job, int], None], job: Job, threads: int) -> str:
    """Do work in a process of its own; returns the reason of a failure, else an empty text.

    It is forked from one that has imported what runs need, so the imports are paid for once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    answers = context.SimpleQueue()
    process = context.Process(target=_answering, args=(work, job, threads, answers))
    process.start()
    process.join()
    if not answers.empty():
        return str(answers.get())
    return "" if process.exitcode == 0 else f"the process ended with {process.exitcode}, perhaps for lack of memory"


def _answering(
    work: Callable[[Job, int], None], job: Job, threads: int, answers: "multiprocessing.SimpleQueue[str]"
) -> None:
    end_with_parent()
    try:
        work(job, threads)
    except (QaclimsError, OSError) as error:
        answers.put(str(error))
