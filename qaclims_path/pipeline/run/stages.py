"""Stages of a run: which are done, which have to be done again and why, in the file `stages.json` of the run.

A stage's hash covers its options, its version, the hashes of the stages it reads and of what it reads beside them
(card, list of images); never paths, devices or workers. So a changed option redoes exactly what depends on it.
"""

import glob
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qaclims_path.config import differences, flat
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of
from qaclims_path.files.lock import locked
from qaclims_path.pipeline.run.memory import PeakMemory
from qaclims_path.registry import suggest

STAGES = "stages.json"
INTERRUPTED = 130  # exit code of what somebody has stopped
State = Literal["running", "done", "failed", "outdated"]
Action = Literal["run", "resume", "skip"]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: As it is called on the command line, where `cams` also means `cams-val` and its like.
        does: What it does, for people.
        version: Raised when the same options give another result.
        depends: All that decides the result, beside other stages; plain values that JSON can hold.
        reads: Names of the stages whose results it reads.
        makes: Files and folders of the run that hold its result.
        run: Does it; called again after an interruption, it goes on where it stopped.
        check: Raises what would make it fail, before it or any other is begun.
    """

    name: str
    does: str
    version: int
    depends: Mapping[str, Any]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[], None]
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Record:
    """What is known of a stage.

    Attributes:
        state: `running` is also what a killed process leaves behind; `outdated` waits to be done anew.
        hash: Of all that decided its result; empty where that is no longer whole.
        depends: The same in the open, as dotted keys, to say what has changed.
        seconds: Spent on it, over all attempts.
        peak_mib: Largest memory while it was done: of the process, or of any child so far where it had children.
        error: Why it failed, in a sentence.
        reads: Names of the stages whose results it read.
        makes: Files and folders of the run that hold its result.
    """

    state: State
    hash: str
    depends: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: float = 0.0
    error: str = ""
    reads: Sequence[str] = ()
    makes: Sequence[str] = ()


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
        found[stage.name] = digest_of(text)
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
        QaclimsError: What a stage that is to be done finds wrong with its options.
    """
    for asked in (first, only):
        if asked is not None and not any(_means(asked, stage) for stage in stages):
            raise UsageError(f"This run has no stage '{asked}'. {suggest(asked, [stage.name for stage in stages])}")
    records, hashes = read_records(out), hashes_of(stages)
    anew: set[str] = set()
    steps: list[Step] = []
    for stage in stages:
        action, reason = _verdict(stage, out, records.get(stage.name), hashes[stage.name], anew)
        if action == "skip" and (_means(first, stage) or _means(only, stage)):
            action, reason = "run", "asked for"
        if only is not None and not _means(only, stage):
            action, reason = "skip", "not asked for"
        if action != "skip":
            anew.add(stage.name)
        steps.append(Step(stage, hashes[stage.name], action, reason))
    _check_inputs(steps, out, records, hashes)
    for step in steps:
        if step.action != "skip":
            step.stage.check()
    return steps


def execute(steps: Sequence[Step], out: Path, say: Callable[[str], None]) -> None:
    """Do what was planned; a stage that fails stops the run and is on record.

    Args:
        steps: From `plan`.
        out: Folder of the run, which the caller holds the lock of.
        say: Is told what begins and what is skipped.
    """
    _outdate(steps, out)
    for number, step in enumerate(steps, 1):
        title = f"[{number}/{len(steps)}] {step.stage.name}: {step.stage.does}"
        if step.action == "skip":
            say(f"{title}: skipped, {step.reason}")
        else:
            say(f"{title} ({step.reason})")
            _do(step, out, {each.stage.name for each in steps})


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


def _means(asked: str | None, stage: Stage) -> bool:
    """Whether a name on the command line means a stage."""
    return asked is not None and (stage.name == asked or stage.name.startswith(f"{asked}-"))


def _verdict(stage: Stage, out: Path, record: Record | None, wanted: str, anew: Set[str]) -> tuple[Action, str]:
    because = next((f"'{name}' is done anew" for name in stage.reads if name in anew), "")
    if record is None:
        return "run", "not done yet"
    if record.hash != wanted:
        changed = differences(record.depends, flat(stage.depends))
        return "run", changed or because or ("what it reads has changed" if record.hash else "it is outdated")
    if record.state != "done":
        return "resume", "it failed" if record.state == "failed" else "it was interrupted"
    missing = [name for name in stage.makes if not (out / name).exists()]
    if missing:
        return "resume", f"'{missing[0]}' is missing"
    return ("run", because) if because else ("skip", "done")


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


def _outdate(steps: Sequence[Step], out: Path) -> None:
    """Note which results no longer count before the first of them is touched, in case the process is killed."""
    records = read_records(out)
    anew = {step.stage.name for step in steps if step.action == "run"} & records.keys()
    if anew:
        old = {name: replace(records[name], state="outdated", hash="") for name in anew}
        _write(out, records | old)


def _do(step: Step, out: Path, planned: Set[str]) -> None:
    stage, records = step.stage, read_records(out)
    before = records.get(stage.name)
    if (
        step.action == "run" and before is not None
    ):  # without a record it is other commands' work, which it goes on with
        _clear(stage, out, records, planned)
        before = None
    spent = before.seconds if before else 0.0
    record = Record("running", step.hash, flat(stage.depends), spent, reads=stage.reads, makes=stage.makes)
    _write(out, records | {stage.name: record})
    start, memory = time.monotonic(), PeakMemory()
    try:
        stage.run()
    except BaseException as error:
        stopped = not isinstance(error, Exception) or getattr(error, "exit_code", 1) == INTERRUPTED
        sentence = str(error) if isinstance(error, QaclimsError) else f"{type(error).__name__}: {error}"
        failed = replace(record, state="running") if stopped else replace(record, state="failed", error=sentence)
        _finish(out, stage.name, failed, start, memory)
        raise
    _finish(out, stage.name, replace(record, state="done"), start, memory)


def _clear(stage: Stage, out: Path, records: dict[str, Record], planned: Set[str]) -> None:
    """Remove the former result of a stage, and what stages made of it that are no part of this run any more."""
    strays = _made_of(stage.name, records) - planned
    for name in {*stage.makes, *(made for each in (stage.name, *strays) for made in records[each].makes)}:
        _remove(out, name)
    for each in strays:
        del records[each]


def _made_of(name: str, records: Mapping[str, Record]) -> set[str]:
    """A stage, and all whose results were made from its own."""
    found = {name}
    while more := {other for other, record in records.items() if other not in found and found & set(record.reads)}:
        found |= more
    return found


def _finish(out: Path, name: str, record: Record, start: float, memory: "PeakMemory") -> None:
    seconds = round(record.seconds + time.monotonic() - start, 1)
    done = replace(record, seconds=seconds, peak_mib=round(memory.mib(), 1))
    _write(out, read_records(out) | {name: done})


def _write(out: Path, records: Mapping[str, Record]) -> None:
    write_json(out / STAGES, {name: asdict(record) for name, record in records.items()})


def _remove(out: Path, name: str) -> None:
    """Remove a result, and what was begun of it."""
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()) or path.resolve() == out.resolve():
        raise QaclimsError(f"{path} lies outside the run {out}; it is left alone.")
    for lock in (path / "state" / "lock", path / ".lock"):
        if lock.exists():
            with locked(lock):  # what a killed run has started may still be at work
                pass
    for each in (path, *path.parent.glob(f"{glob.escape(path.name)}.*part")):
        try:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
        except OSError as error:
            raise QaclimsError(
                f"{each} cannot be removed: {error.strerror or error}. It has to be made anew."
            ) from error
