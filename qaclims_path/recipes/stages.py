"""Stages of a run: which are done, which have to be done again and why, in the file `stages.json` of the run.

A stage's hash covers its options, its version, the hashes of the stages it reads and of what it reads beside them
(card, list of images); never paths, devices or workers. So a changed option redoes exactly what depends on it.
"""

import hashlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from qaclims_path.config import differences, flat
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.lock import locked
from qaclims_path.registry import suggest

STAGES = "stages.json"
State = Literal["running", "done", "failed"]
Action = Literal["run", "resume", "skip"]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: As it is called on the command line.
        does: What it does, for people.
        version: Raised when the same options give another result.
        depends: All that decides the result, beside other stages; plain values that JSON can hold.
        reads: Names of the stages whose results it reads.
        makes: Files and folders of the run that hold its result.
        run: Does it; called again after an interruption, it goes on where it stopped.
    """

    name: str
    does: str
    version: int
    depends: Mapping[str, Any]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[], None]


@dataclass(frozen=True)
class Record:
    """What is known of a stage.

    Attributes:
        state: `running` is also what a killed process leaves behind.
        hash: Of all that decided its result.
        depends: The same in the open, as dotted keys, to say what has changed.
        seconds: Spent on it, over all attempts.
        peak_mib: Largest memory of the process when it ended.
        error: Why it failed, in a sentence.
    """

    state: State
    hash: str
    depends: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Step:
    """What will become of a stage, and why."""

    stage: Stage
    hash: str
    action: Action
    reason: str


def hashes_of(stages: Sequence[Stage]) -> dict[str, str]:
    """The hash of every stage, in order."""
    found: dict[str, str] = {}
    for stage in stages:
        content = {
            "stage": stage.name,
            "version": stage.version,
            "depends": stage.depends,
            "reads": {name: found[name] for name in stage.reads},
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        found[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def plan(stages: Sequence[Stage], out: Path, *, first: str | None = None, only: str | None = None) -> list[Step]:
    """Say for every stage what will become of it.

    Args:
        stages: In order; a stage reads earlier ones only.
        out: Folder of the run.
        first: Stage to begin with: it and all that depend on it are done again.
        only: The one stage to do, again if it is done.

    Raises:
        UsageError: No such stage, or what it reads is not there.
    """
    for name in (first, only):
        if name is not None and name not in {stage.name for stage in stages}:
            raise UsageError(f"This run has no stage '{name}'. {suggest(name, [stage.name for stage in stages])}")
    records, hashes = read_records(out), hashes_of(stages)
    anew: set[str] = set()
    steps: list[Step] = []
    for stage in stages:
        action, reason = _verdict(stage, out, records.get(stage.name), hashes[stage.name], anew)
        if stage.name in (first, only) and action == "skip":
            action, reason = "run", "asked for"
        if only not in (None, stage.name):
            action, reason = "skip", "not asked for"
        if action != "skip":
            anew.add(stage.name)
        steps.append(Step(stage, hashes[stage.name], action, reason))
    _check_inputs(steps, out, records, hashes)
    return steps


def execute(steps: Iterable[Step], out: Path, say: Callable[[str], None]) -> None:
    """Do what was planned, one process at a time; a stage that fails stops the run and is on record.

    Args:
        steps: From `plan`.
        out: Folder of the run.
        say: Is told what begins and how it ended.
    """
    with locked(out / "run.lock"):
        for number, step in enumerate(steps := list(steps), 1):
            title = f"[{number}/{len(steps)}] {step.stage.name}: {step.stage.does}"
            if step.action == "skip":
                say(f"{title}: skipped, {step.reason}")
                continue
            say(f"{title} ({step.reason})")
            _do(step, out)


def read_records(out: Path) -> dict[str, Record]:
    """What is known of the stages of a run; nothing where it has not begun."""
    path = out / STAGES
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: Record(**record) for name, record in content.items()}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise BadFile(f"{path} is damaged: {error}. Remove it, and the run checks its stages anew.") from error


def _verdict(stage: Stage, out: Path, record: Record | None, wanted: str, anew: set[str]) -> tuple[Action, str]:
    depends_on_new = [name for name in stage.reads if name in anew]
    if record is None:
        return "run", "not done yet"
    if record.hash != wanted:
        changed = differences(record.depends, stage.depends)
        because = changed or (f"'{depends_on_new[0]}' is done anew" if depends_on_new else "what it reads has changed")
        return "run", because
    if record.state != "done":
        return "resume", "it failed" if record.state == "failed" else "it was interrupted"
    missing = [name for name in stage.makes if not (out / name).exists()]
    if missing:
        return "resume", f"'{missing[0]}' is missing"
    if depends_on_new:
        return "run", f"'{depends_on_new[0]}' is done anew"
    return "skip", "done"


def _check_inputs(steps: list[Step], out: Path, records: dict[str, Record], hashes: dict[str, str]) -> None:
    will = {step.stage.name for step in steps if step.action != "skip"}
    for step in steps:
        if step.action == "skip":
            continue
        for name in step.stage.reads:
            record = records.get(name)
            if name not in will and (record is None or record.state != "done" or record.hash != hashes[name]):
                raise UsageError(
                    f"The stage '{step.stage.name}' reads '{name}', which is not done with these options in {out}. "
                    f"Run without --only, or with --from {name}."
                )


def _do(step: Step, out: Path) -> None:
    stage, before = step.stage, read_records(out).get(step.stage.name)
    if step.action == "run":
        before = None
        for name in stage.makes:
            _remove(out, name)
    spent = before.seconds if before else 0.0
    record = Record("running", step.hash, flat(stage.depends), spent)
    _write(out, stage.name, record)
    start = time.monotonic()
    try:
        stage.run()
    except BaseException as error:
        failed: State = "failed" if isinstance(error, QaclimsError) else "running"
        message = str(error) if isinstance(error, QaclimsError) else type(error).__name__
        _finish(out, stage.name, record, failed, time.monotonic() - start, message)
        raise
    _finish(out, stage.name, record, "done", time.monotonic() - start, "")


def _finish(out: Path, name: str, record: Record, state: State, seconds: float, error: str) -> None:
    spent = round(record.seconds + seconds, 1)
    _write(out, name, Record(state, record.hash, record.depends, spent, round(peak_mib(), 1), error))


def _write(out: Path, name: str, record: Record) -> None:
    records = read_records(out) | {name: record}
    write_json(out / STAGES, {key: asdict(value) for key, value in records.items()})


def peak_mib() -> float:
    """Largest memory of this process and of any child that has ended, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return most * unit / 2**20


def _remove(out: Path, name: str) -> None:
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()) or path.resolve() == out.resolve():
        raise QaclimsError(f"{path} lies outside the run {out}; it is left alone.")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
