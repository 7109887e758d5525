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
from typing import Any

from qaclims_path.assets import install_command
from qaclims_path.errors import MissingExtra, QaclimsError
from qaclims_path.files.processes import end_with_parent
from qaclims_path.files.progress import Meter
from qaclims_path.pipeline.tiling.slide import SlideTask, process
from qaclims_path.slides.cohort.state import SlideState, give_up

TICK = 0.2  # seconds between two updates of the bars
IMPORTS = ["qaclims_path.slides.transforms"]  # of every worker; MONAI takes seconds
_WORKER: dict[str, Any] = {}  # state of a worker process: the queue of reports to its parent


def run_tasks(tasks: Sequence[SlideTask], *, workers: int, engine: str) -> Iterator[SlideState]:
    """Tile slides and yield the state of each when it ends."""
    with Meter("tiling slides", len(tasks)) as bars:
        if engine == "ray":
            states = _on_ray(tasks)
        elif workers > 1 and len(tasks) > 1:
            states = _in_processes(tasks, workers, bars)
        else:
            states = (process(replace(task, threads=2), partial(bars.part, task.name)) for task in tasks)
        for state in states:
            bars.end_part(state.name)
            yield state


def _in_processes(tasks: Sequence[SlideTask], workers: int, bars: Meter) -> Iterator[SlideState]:
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


def _show(reports: Any, bars: Meter) -> None:  # noqa: ANN401
    with suppress(Empty):
        while True:
            bars.part(*reports.get_nowait())


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
        raise MissingExtra(f"--engine ray needs Ray. Install it: {install_command('ray')}") from error
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise QaclimsError(
            f"No Ray cluster can be reached ({str(error).splitlines()[0]}). Start one with `ray start --head` (and "
            "`ray start --address=...` on the other machines), or leave --engine ray out."
        ) from error
    return ray
