"""Tile slides one after another, in several processes, or on a Ray cluster, with progress bars."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from queue import Empty
from types import TracebackType
from typing import Any

from qaclims_path.errors import MissingExtra, QaclimsError
from qaclims_path.files.processes import end_with_parent
from qaclims_path.pipeline.tiling.slide import SlideTask, process
from qaclims_path.slides.cohort.state import SlideState, give_up

TICK = 0.2  # seconds between two updates of the bars
NAME = 28  # characters of a slide's name beside its bar
IMPORTS = ["qaclims_path.slides.transforms"]  # of every worker; MONAI takes seconds
_WORKER: dict[str, Any] = {}  # state of a worker process: the queue of reports to its parent


class ProgressBars:
    """Bars on standard error: one for all slides, one for the tiles of each at work; silent without a terminal."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.slides = self.progress.add_task("slides", total=total)
        self.bars: dict[str, Any] = {}

    def tiles(self, name: str, done: int, total: int) -> None:
        """Show how many tiles of a slide are done."""
        if name not in self.bars:
            self.bars[name] = self.progress.add_task(f"  {name[:NAME]}", total=total)
        self.progress.update(self.bars[name], completed=done, total=total)

    def finished(self, name: str) -> None:
        """Count a slide that is done or has failed."""
        if name in self.bars:
            self.progress.remove_task(self.bars.pop(name))
        self.progress.advance(self.slides)

    def __enter__(self) -> "ProgressBars":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()


def run_tasks(tasks: Sequence[SlideTask], *, workers: int, engine: str) -> Iterator[SlideState]:
    """Tile slides and yield the state of each when it ends."""
    with ProgressBars(len(tasks)) as bars:
        if engine == "ray":
            states = _on_ray(tasks)
        elif workers > 1 and len(tasks) > 1:
            states = _in_processes(tasks, workers, bars)
        else:
            states = (process(replace(task, threads=2), partial(bars.tiles, task.name)) for task in tasks)
        for state in states:
            bars.finished(state.name)
            yield state


def _in_processes(tasks: Sequence[SlideTask], workers: int, bars: ProgressBars) -> Iterator[SlideState]:
    """Give each worker one slide at a time; when a worker dies, its slide fails and a new pool continues.

    Workers are forked from a process that has imported what they need, so the imports are paid for once.
    """
    waiting = list(reversed(tasks))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    while waiting:
        reports = context.Queue()
        with ProcessPoolExecutor(workers, context, _prepare, (reports,)) as pool:
            at_work: dict[Future[SlideState], SlideTask] = {}
            broken = False
            while (waiting and not broken) or at_work:
                while waiting and not broken and len(at_work) < workers:
                    try:
                        at_work[pool.submit(_work, waiting[-1])] = waiting[-1]
                        waiting.pop()
                    except BrokenProcessPool:
                        broken = True
                done, _ = wait(at_work, timeout=TICK, return_when=FIRST_COMPLETED)
                _show(reports, bars)
                for future in done:
                    task = at_work.pop(future)
                    lost = isinstance(future.exception(), BrokenProcessPool)
                    broken |= lost
                    yield _lost(task, "A process was ended from outside") if lost else future.result()


def _lost(task: SlideTask, what: str) -> SlideState:
    sentence = f"{what}, perhaps for lack of memory. Run the command again, maybe with fewer --workers."
    return give_up(task.out, task.name, task.fingerprint, sentence)


def _prepare(reports: Any) -> None:  # noqa: ANN401 - a queue of multiprocessing
    """Prepare a worker: keep the queue, end with the parent even if that is killed, and end silently at Ctrl-C."""
    _WORKER["reports"] = reports
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
    end_with_parent()


def _work(task: SlideTask) -> SlideState:
    return process(task, lambda done, total: _WORKER["reports"].put((task.name, done, total)))


def _show(reports: Any, bars: ProgressBars) -> None:  # noqa: ANN401
    with suppress(Empty):
        while True:
            bars.tiles(*reports.get_nowait())


def _on_ray(tasks: Sequence[SlideTask]) -> Iterator[SlideState]:
    """One Ray task per slide; Ray starts as many as the cluster has processors for."""
    ray = connect()
    remote: Callable[[SlideTask], Any] = ray.remote(max_retries=1)(_silently).remote
    at_work = {remote(task): task for task in tasks}
    try:
        while at_work:
            done, _ = ray.wait(list(at_work), num_returns=1)
            task = at_work.pop(done[0])
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error  # `process` raises only errors that end the run
            except ray.exceptions.RayError:
                yield _lost(task, "Its Ray worker was lost")
    finally:
        for reference in at_work:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _silently(task: SlideTask) -> SlideState:
    return process(task, lambda _done, _total: None)


def connect() -> Any:  # noqa: ANN401 - the module ray, which may not be installed
    """Join the Ray cluster that is running already."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise MissingExtra('--engine ray needs Ray. Install it: pip install "qaclims_path[ray]"') from error
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise QaclimsError(
            f"No Ray cluster can be reached ({str(error).splitlines()[0]}). Start one with `ray start --head` (and "
            "`ray start --address=...` on the other machines), or leave --engine ray out."
        ) from error
    return ray
